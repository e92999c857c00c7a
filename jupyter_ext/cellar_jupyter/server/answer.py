"""From a taken turn to its answer: choose the model, build the prompt, emit the receipt, ask."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
from cellar import wire
from cellar.context import Prompt, RedactionState
from cellar.conversation import History, TurnRecord, history, question_of, with_turn
from cellar.errors import Forbidden, ModelServerError

from .journal import Dispatched
from .prompting import Order, build, mask

if TYPE_CHECKING:
    from .app import Cellar
    from .files import Files
    from .models import Models
    from .run import TurnRun
    from .shelf import Shelf
    from .usage import UsageBook

MODES: tuple[wire.Mode, ...] = ("ask", "compact")
"""Of the contract's modes those that this server answers."""


class Answering:
    """What a turn needs to become an answer."""

    def __init__(self, config: Cellar, models: Models, files: Files, shelf: Shelf, usage: UsageBook) -> None:
        self.config = config
        self._models = models
        self._files = files
        self._shelf = shelf
        self._usage = usage

    def check(self, request: wire.TurnRequest) -> None:
        """Raises `Forbidden` for what the administrator switched off."""
        if request.mode not in MODES:
            raise Forbidden(
                f"The mode {request.mode!r} is not available on this server", detail={"why": "switched_off"}
            )
        self.check_context(request.context or ())

    def check_context(self, parts: tuple[wire.ContextPart, ...]) -> None:
        if any(isinstance(part, wire.FilePart | wire.FolderPart) for part in parts):
            self.config.require("attach_files")
        if any(isinstance(part, wire.ImagePart) for part in parts):
            self.config.require("images")

    def _seeing(self, model: wire.Model) -> wire.Model:
        """The model as prompts may use it: pictures stand in outputs and notebook files, too, not only among the parts
        that a page attaches."""
        switch = self.config.feature_switches().get("images")
        return model if switch is None or switch.enabled else msgspec.structs.replace(model, vision=False)

    async def answer(self, run: TurnRun) -> wire.FinishReason:
        """Ask the model and write the answer into the turn's log. Raises classes of `cellar.errors`."""
        from cellar.client import ChatRequest

        try:
            model = await self._models.choose(run.record.model or None)
            run.emit(wire.StartedEvent(model=model.id))
            prompt, redaction = await self._build(run, model)
            self._dispatch(run, model, prompt, redaction)
            client = await self._models.client()
            if run.journaled is not None:
                await asyncio.shield(run.journaled)  # the question is on the disk before it leaves
            request = ChatRequest(
                model=model.id,
                messages=prompt.messages,
                max_tokens=prompt.max_tokens,
                temperature=self.config.temperature,
            )
            reason = await run.ask(client, request, self._headers(run))
        except ModelServerError as error:
            self._models.failed(error, run.record.model)
            raise
        self._models.answered()
        self._correct(run, model, prompt)
        self._models.count_later(model, prompt.texts)
        return reason

    async def _build(self, run: TurnRun, model: wire.Model) -> tuple[Prompt, RedactionState]:
        conversation = await self._shelf.open(run.conversation_id)
        asked = question_of(conversation, run.record)
        copied = conversation.turn(asked.copy_of)
        repeated = asked.sent if asked.id != run.record.id else copied.sent if copied is not None else None
        order = Order(
            model=self._seeing(model),
            mode=asked.mode,
            question=asked.text,
            history=history(conversation, asked.parent_id),
            context=(asked.context or ()) if asked.sent is None else (),
            copied=repeated,
            continues=asked.continue_of is not None,
            max_tokens=self._max_tokens(),
        )
        return await asyncio.to_thread(
            build, order, self._files, self._models.counter(model.id), conversation.redaction
        )

    def _headers(self, run: TurnRun) -> dict[str, str]:
        """For the gateway: its audit has mode and turn; the conversation chooses among several model servers the one
        that has read it before."""
        if not self.config.gateway:
            return {}
        named = {"Mode": run.record.mode, "Turn": run.id, "Conversation": run.conversation_id}
        return {f"X-Cellar-{name}": value for name, value in named.items()}

    def _max_tokens(self) -> int | None:
        """Of an answer: the settings' or the hub's policy's, whichever is less; None: neither says."""
        me = self._models.me
        said = [limit for limit in (self.config.max_tokens, me and me.max_tokens) if limit]
        return min(said, default=None)

    def _dispatch(self, run: TurnRun, model: wire.Model, prompt: Prompt, redaction: RedactionState) -> None:
        """The prompt is what will leave: keep it with the turn, tell the readers, journal it."""
        run.record = msgspec.structs.replace(run.record, model=model.id, sent=prompt.sent, context=None)
        conversation = self._shelf.current(run.conversation_id)
        if conversation is not None:
            conversation = msgspec.structs.replace(conversation, redaction=redaction)
            self._shelf.put(with_turn(conversation, run.record))
        if run.journal is not None:
            line = Dispatched(model=model.id, parent_id=run.record.parent_id, sent=prompt.sent, redaction=redaction)
            self._shelf.in_disk_thread(run.journal.append, [line])
        run.emit(wire.ReceiptEvent(receipt=prompt.receipt))

    async def mask_unsent(self, run: TurnRun) -> None:
        """A turn whose prompt was not built keeps what was posted, to be asked again; masked, as everything kept is."""
        conversation = self._shelf.current(run.conversation_id)
        if run.record.sent is not None or not run.record.context or conversation is None:
            return
        context, redaction = await asyncio.to_thread(mask, run.record.context, conversation.redaction)
        run.record = msgspec.structs.replace(run.record, context=context)
        conversation = self._shelf.current(run.conversation_id)
        if conversation is not None:
            self._shelf.put(msgspec.structs.replace(conversation, redaction=redaction))

    def _correct(self, run: TurnRun, model: wire.Model, prompt: Prompt) -> None:
        """The model server said how many tokens it read: the receipt says so, the next estimate is better."""
        usage = run.settled().usage
        if usage is None or not usage.prompt:
            return
        if not prompt.receipt.exact:
            self._models.counter(model.id).calibrate(prompt.receipt.prompt_tokens, usage.prompt, prompt.pictures)
        receipt = msgspec.structs.replace(prompt.receipt, prompt_tokens=usage.prompt, exact=True)
        run.emit(wire.ReceiptEvent(receipt=receipt))

    async def count_use(self, turn: TurnRecord) -> None:
        """Add an ended turn to the user's own use of today."""
        unsent = turn.error is not None and turn.error.detail.get("unsent")
        if turn.sent is not None and not unsent:
            usage = turn.usage or wire.Usage(prompt=turn.receipt.prompt_tokens if turn.receipt else 0)
            await self._usage.add(usage.prompt, usage.completion, time.time())

    async def preview(self, request: wire.PreviewRequest) -> wire.Receipt:
        """What this question would cost now. Counts exactly what it can within a moment."""
        self.check_context(request.context)
        model = await self._models.choose(request.model)
        past, redaction = await self._past(request)
        order = Order(
            model=self._seeing(model),
            mode=request.mode,
            question=request.text,
            history=past,
            context=request.context,
            max_tokens=self._max_tokens(),
        )
        counter = self._models.counter(model.id)
        prompt, _ = await asyncio.to_thread(build, order, self._files, counter, redaction)
        if model.tokenizer and not prompt.receipt.exact:
            self._models.count_later(model, prompt.texts)
            await self._models.counted(within=1.0)
            prompt, _ = await asyncio.to_thread(build, order, self._files, counter, redaction)
        return prompt.receipt if request.text.strip() else _unasked(prompt.receipt)

    async def _past(self, request: wire.PreviewRequest) -> tuple[History, RedactionState]:
        if request.conversation_id is None:
            return History(None, ()), RedactionState()
        conversation = await self._shelf.open(request.conversation_id)
        leaf = conversation.head_id if request.parent_id is msgspec.UNSET else request.parent_id
        return history(conversation, leaf), conversation.redaction


def _unasked(receipt: wire.Receipt) -> wire.Receipt:
    """Nothing is typed yet: the row of the question costs nothing, though its frame would."""
    parts = tuple(msgspec.structs.replace(row, tokens=0) if row.kind == "question" else row for row in receipt.parts)
    spared = sum(row.tokens for row in receipt.parts) - sum(row.tokens for row in parts)
    return msgspec.structs.replace(receipt, parts=parts, prompt_tokens=receipt.prompt_tokens - spared)
