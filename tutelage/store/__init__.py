"""The store: what people were asked and answered, kept for good. The only room that knows SQL (docs/store.md)."""

from tutelage.store.questions import Campaign, Item, NewItem, Quiz, Receipt, Task, Terms
from tutelage.store.store import Person, Store

__all__ = ["Campaign", "Item", "NewItem", "Person", "Quiz", "Receipt", "Store", "Task", "Terms"]
