"""The contract: every message between browser, workspace server and (later) gateway.

Frozen structs, JSON by msgspec, field names as they stand here. What a browser posts is strict (an unknown field or a
wrong type is refused with its path); what a server sends may grow, so readers ignore fields they do not know. Fields
with a default are left out of the JSON when they hold it. `labextension/src/wire/types.ts` says the same in TypeScript;
the golden files in tests/contract keep both honest.

Words: a *conversation* is a tree of *turns*; a turn is one question and its answer; an answer is made of *parts*;
*context* is what travels with a question; a *receipt* lists what left the workspace.
"""

from cellar.wire.context import *
from cellar.wire.replies import *
from cellar.wire.requests import *
from cellar.wire.terms import *
from cellar.wire.turn import *
