"""The shell all pages stand in: who is asking, what they may do, both languages, the layout, and what is served as it is.

A web room (the studio, the dashboard, the chat page) hands `create_app` a `Room`; it never builds an app of its own.
"""

from tutelage.web.app import Shell, create_app
from tutelage.web.rooms import NavItem, Room
from tutelage.web.routes import EVERYBODY, SIGNED_IN, Routes
from tutelage.web.visitors import Refused, Visitor

__all__ = ["EVERYBODY", "SIGNED_IN", "NavItem", "Refused", "Room", "Routes", "Shell", "Visitor", "create_app"]
