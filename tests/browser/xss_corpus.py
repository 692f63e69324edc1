"""Texts that try to run something when a page shows them. Made by combining, so that none is anybody's list.

Each payload calls `tutelageCaught(n)`, which the test defines to note the number; that number stays unnoted if all is well.
"""

from __future__ import annotations

from itertools import product

_EVENTS = ("onerror", "onload", "onclick", "onfocus", "onmouseover", "ontoggle", "onanimationstart", "onpointerenter", "onbegin")
_HOLDERS = (
    "<img src=x {event}={call}>", "<svg {event}={call}>", "<body {event}={call}>",
    "<details open {event}={call}>x</details>", "<input autofocus {event}={call}>",
    "<video src=x {event}={call}></video>", "<a href=# {event}={call}>x</a>",
    "<p style=animation-name:x {event}={call}>x</p>", "<iframe srcdoc='' {event}={call}></iframe>",
)
_WHOLE = (
    "<script>{call}</script>", "<ScRiPt>{call}</sCrIpT>", "<script src=data:text/javascript,{call}></script>",
    "<script\x00>{call}</script>", "<svg><script>{call}</script></svg>",
    "<math><mtext><script>{call}</script></mtext></math>", "<!--><script>{call}</script>-->",
    "</textarea><script>{call}</script>", "</title><script>{call}</script>", '"><script>{call}</script>',
    "'><script>{call}</script>", "<iframe src=javascript:{call}></iframe>",
    "<iframe srcdoc='<script>parent.{call}</script>'></iframe>", "<object data=javascript:{call}></object>",
    "<embed src=javascript:{call}>", "<form action=javascript:{call}><button>x</button></form>",
    "<a href=javascript:{call}>x</a>", "<a href='java\tscript:{call}'>x</a>", "<a href=&#106;avascript:{call}>x</a>",
    "<base href=javascript:{call}//>", "<link rel=import href=data:text/html,<script>{call}</script>>",
    "<style>@import 'javascript:{call}';</style>", "<meta http-equiv=refresh content='0;url=javascript:{call}'>",
    "<svg><a xlink:href=javascript:{call}><text>x</text></a></svg>",
    "<svg><animate attributeName=href to=javascript:{call} begin=0s /></svg>",
    "<svg><use href='data:image/svg+xml,<svg onload={call}>'/></svg>", "<template><script>{call}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={call}>'>",
    "<math><mglyph><style><img src=x onerror={call}></style></mglyph></math>",
    "<svg></p><style><a id='</style><img src=x onerror={call}>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={call}>",
    "<div hx-get=/ hx-trigger=load hx-on:htmx:load={call}>x</div>", "<div data-hx-on::load={call}>x</div>",
    "<div hx-on--load={call}>x</div>", "<div hx-vals='js:{call}' hx-trigger=load hx-post=/>x</div>",
    "[x](javascript:{call})", "[x](JaVaScRiPt:{call})", "[x](data:text/html,<script>{call}</script>)",
    "[x](vbscript:{call})", '![x](x"onerror="{call})', '![x"onerror="{call}](x)', "[x]: javascript:{call}\n\n[x]",
    "<javascript:{call}>", "[x](<javascript:{call}>)", "[x](\x01javascript:{call})", "[x](java&#x0A;script:{call})",
    "![x](javascript:{call})", "```html\n<script>{call}</script>\n```", '```"><script>{call}</script>\n```',
    "`<img src=x onerror={call}>`", "# <img src=x onerror={call}>", "> <svg onload={call}>",
    "- <img src=x onerror={call}>", "| a |\n|---|\n| <img src=x onerror={call}> |", "**<img src=x onerror={call}>**",
    "~~<script>{call}</script>~~", "[<img src=x onerror={call}>](x)", "[x](x '\"><img src=x onerror={call}>')",
    "<details><summary>x</summary>\n\n<img src=x onerror={call}>\n\n</details>", "- [ ] <img src=x onerror={call}>",
    "&lt;img src=x onerror={call}&gt;", "\\<img src=x onerror={call}>", "<<img src=x onerror={call}>",
    "{{constructor.constructor('{call}')()}}", "${{call}}", "#{{call}}", "<%= {call} %>", "{{{call}}}",
    '" onfocus={call} autofocus="', "' onfocus={call} autofocus='", "` onfocus={call} autofocus=`",
    "\u2028</script><script>{call}</script>", "%3Cscript%3E{call}%3C/script%3E",
    "\\u003cscript\\u003e{call}\\u003c/script\\u003e", "＜script＞{call}＜/script＞", "<scr\x00ipt>{call}</scr\x00ipt>",
    "\ufeff<script>{call}</script>", "<img src='//evil.example/x.png'>", "![x](https://evil.example/x.png?{call})",
    "<style>body{background:url(//evil.example/{call})}</style>",
)


def payloads() -> list[str]:
    """At least 200 texts; number n calls `tutelageCaught(n)`."""
    shapes = [holder.replace("{event}", event) for holder, event in product(_HOLDERS, _EVENTS)]
    shapes += list(_WHOLE)
    shapes += [shape.upper().replace("{CALL}", "{call}") for shape in _WHOLE[:40]]
    return [shape.replace("{call}", f"tutelageCaught({n})") for n, shape in enumerate(shapes)]
