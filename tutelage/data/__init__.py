"""From files to token ids: reading, data-set artifacts, the chat template, and the order rows are trained in."""
