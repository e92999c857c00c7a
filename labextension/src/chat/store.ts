/**
 * The chat's state and what can be done with it. Knows the server through `Api`
 * and nothing of the screen. Text being written is not in the state but in
 * `live(turnId)`, so that a token redraws one message and not the panel.
 */
import { ApiError, errorInfo, isGone, requestKey } from '../api';
import type { Api, ExportFormat } from '../api';
import { FINAL_STATES } from '../wire/types';
import type {
  ContextPart,
  IConversation,
  IErrorInfo,
  ITurn,
  ITurnCreated,
  ITurnRequest,
  TurnEvent
} from '../wire/types';
import { Elsewhere } from './elsewhere';
import { foldTurn } from './fold';
import { LiveTurn } from './live';
import type { IMemory } from './memory';
import { newTurn, requestFor } from './question';
import type { IQuestion } from './question';
import { EventsReader } from './reader';
import { EMPTY_CHAT, isTold, Observable } from './state';
import type { IChatState, ISending } from './state';
import {
  headToShow,
  isBusy,
  isRunning,
  isWaiting,
  leafOf,
  waiting
} from './tree';
import type { Turns } from './tree';

/** How tabs of one browser tell each other that something changed. */
export interface IChannel {
  post(conversationId: string): void;
  onMessage(listener: (conversationId: string) => void): void;
  close(): void;
}

export interface IStoreOptions {
  api: Api;
  memory: IMemory;
  channel?: IChannel;
  hidden?: () => boolean;
}

/** Of the turns of one conversation: the server gives 32 in one response. */
const MOST_RUNNING = 28;
/** The next ones to start; those behind them are followed when they come near. */
const MOST_PENDING = 4;

export class ChatStore extends Observable<IChatState> {
  constructor(private readonly options: IStoreOptions) {
    super({ ...EMPTY_CHAT, model: options.memory.get('model') || null });
    const { api } = options;
    this.reader = new EventsReader({
      events: (from, signal) => api.events(from, signal),
      turn: id => api.turn(id),
      onEvents: (id, events) => this.onEvents(id, events),
      onTurn: turn => this.onTurn(turn),
      onConnection: lostSince => this.set({ lostSince }),
      onGone: () => void this.reload(),
      onSignedOut: () => void this.refreshStatus(),
      hidden: options.hidden ?? (() => document.hidden)
    });
    this.elsewhere = new Elsewhere({
      turn: id => api.turn(id),
      onTurns: turns => this.onElsewhere(turns)
    });
    options.channel?.onMessage(id => this.onOtherTab(id));
  }

  /** For what the store has no action of its own: preview, usage, search. */
  get api(): Api {
    return this.options.api;
  }

  /** Read the status and what was shown last. */
  async start(): Promise<void> {
    const shown = this.options.memory.get('shown');
    await Promise.all([
      this.refreshStatus(),
      this.refreshConversations(),
      shown ? this.open(shown, true) : undefined
    ]);
  }

  dispose(): void {
    this.reader.dispose();
    this.elsewhere.dispose();
    this.options.channel?.close();
  }

  /** A turn's text while it is written; null when it is not being written. */
  live(turnId: string): LiveTurn | null {
    return this.lives.get(turnId) ?? null;
  }

  async refreshStatus(): Promise<void> {
    try {
      const status = await this.api.status();
      const unread = this.state.opening && this.state.statusError !== null;
      this.set({ status, statusError: null });
      if (unread) {
        await this.open(this.state.conversationId, true);
      }
    } catch (error) {
      this.set({ statusError: errorInfo(error) });
    }
  }

  /** The page was shown again, focused, or is back on the network. */
  async wake(): Promise<void> {
    this.reader.restart();
    await Promise.all([
      this.refreshStatus(),
      this.refreshConversations(),
      this.reload()
    ]);
  }

  /** The page was hidden: the events response is closed, polling begins. */
  sleep(): void {
    this.reader.restart();
  }

  // Questions

  /** Ask. Rejects with `ApiError` when nothing was taken: put the text back. */
  async send(question: IQuestion): Promise<string> {
    const opened = this.opened;
    const asked = question.conversationId ?? this.state.conversationId;
    const sending: ISending = {
      key: question.key ?? requestKey(),
      conversationId: asked,
      text: question.text ?? '',
      pills: question.pills ?? []
    };
    // Without a text of its own there is nothing to show before the turn is there.
    const shown = sending.text === '' ? [] : [sending];
    this.set({ sending: [...this.state.sending, ...shown], notice: null });
    try {
      let id = asked;
      // Asked before the first question's conversation has an id.
      while (id === '' && this.founding) {
        id = await this.founding;
        this.setSending(sending.key, { ...sending, conversationId: id });
      }
      const request = requestFor(question, sending.key, id, this.state);
      const posting = this.api.postTurn(request);
      if (id === '' && opened === this.opened) {
        this.founds(posting);
      }
      const created = await posting;
      this.placeNew(created, question, request, opened);
      if (this.state.statusError) {
        // It answers after all.
        void this.refreshStatus();
      }
      return created.turn_id;
    } catch (error) {
      this.seeTold(error);
      throw error;
    } finally {
      this.setSending(sending.key, null);
    }
  }

  private founds(posting: Promise<ITurnCreated>): void {
    const founding = posting.then(
      created => created.conversation_id,
      () => {
        this.founding = this.founding === founding ? null : this.founding;
        return '';
      }
    );
    this.founding = founding;
  }

  private setSending(key: string, changed: ISending | null): void {
    this.set({
      sending: this.state.sending.flatMap(other =>
        other.key !== key ? [other] : changed ? [changed] : []
      )
    });
  }

  /** Stop a turn; without one, whatever runs in the conversation shown. */
  async stop(turnId?: string): Promise<void> {
    const ids = turnId ? [turnId] : this.running().map(turn => turn.id);
    await this.doing(async () => {
      await Promise.all(ids.map(id => this.api.stopTurn(id)));
    });
  }

  /** Ask the same again as a branch beside it. */
  async regenerate(turnId: string): Promise<void> {
    await this.askOnce(turnId, turn => ({
      copyOf: turn.id,
      parentId: turn.parent_id,
      mode: turn.mode,
      pills: turn.pills
    }));
  }

  /** After an error: the same question in the same place. */
  retry(turnId: string): Promise<void> {
    return this.regenerate(turnId);
  }

  /** Another question in its place; without `context` that of the turn. */
  async editAndResend(
    turnId: string,
    text: string,
    context?: ContextPart[]
  ): Promise<void> {
    const turn = this.state.turns.get(turnId);
    if (turn) {
      await this.send({
        text,
        context,
        copyOf: turn.id,
        parentId: turn.parent_id,
        mode: turn.mode,
        pills: turn.pills
      });
    }
  }

  /** Go on where the answer was cut. */
  async continueTurn(turnId: string): Promise<void> {
    await this.askOnce(turnId, turn => ({
      continueOf: turn.id,
      parentId: turn.id,
      mode: turn.mode
    }));
  }

  /** A second click means the same; where an answer is written the buttons rest. */
  private async askOnce(
    turnId: string,
    question: (turn: ITurn) => IQuestion
  ): Promise<void> {
    const turn = this.state.turns.get(turnId);
    if (!turn || this.asking || isBusy(this.state.turns)) {
      return;
    }
    this.asking = true;
    try {
      await this.doing(() => this.send(question(turn)));
    } finally {
      this.asking = false;
    }
  }

  /** Show the branch through this turn. */
  async showBranch(turnId: string): Promise<void> {
    const head = leafOf(this.state.turns, turnId);
    const id = this.state.conversationId;
    this.set({ head });
    await this.doing(() => this.api.patchConversation(id, { head_id: head }));
  }

  // Waiting questions

  async release(turnId: string): Promise<void> {
    await this.doing(() =>
      this.thenReload(() => this.api.patchTurn(turnId, { release: true }))
    );
  }

  /** Rejects with `ApiError` when it was not taken: the text is not lost. */
  async editPending(
    turnId: string,
    text: string,
    context?: ContextPart[]
  ): Promise<void> {
    try {
      await this.thenReload(() =>
        this.api.patchTurn(turnId, { text, context })
      );
    } catch (error) {
      this.seeTold(error);
      throw error;
    }
  }

  async removePending(turnId: string): Promise<void> {
    await this.doing(() => this.thenReload(() => this.api.deleteTurn(turnId)));
  }

  // Conversations

  newConversation(): void {
    this.leave();
    this.show(null);
  }

  /**
   * What is typed from now on is meant for this conversation, so it is the one shown
   * at once, empty until it was read. `quiet` (the page was loaded): one that is gone
   * shows the empty one without a notice, one that cannot be read now is waited for.
   */
  async open(id: string, quiet = false): Promise<void> {
    const opened = this.leave();
    const before = this.state;
    this.set({ opening: true, notice: null });
    if (id !== before.conversationId) {
      this.showNothingOf(id);
    }
    try {
      const conversation = await this.read(id);
      if (opened === this.opened) {
        this.show(conversation);
      }
    } catch (error) {
      if (opened === this.opened) {
        this.notOpened(error, before, quiet);
      }
    }
  }

  private showNothingOf(id: string): void {
    const known = this.state.conversations.find(other => other.id === id);
    this.moveTo(id);
    this.lives.clear();
    this.set({
      conversationId: id,
      title: known?.title ?? '',
      carries: false,
      turns: new Map(),
      head: null
    });
    this.follow();
  }

  private notOpened(error: unknown, before: IChatState, quiet: boolean): void {
    if (quiet && !isGone(error)) {
      this.set({ statusError: errorInfo(error) });
      return;
    }
    const { conversationId, title, turns, head } = before;
    const carries = isGone(error);
    this.leave();
    this.moveTo(conversationId);
    this.set({ conversationId, title, turns, head, carries, opening: false });
    this.options.memory.set('shown', conversationId || null);
    this.follow();
    if (!quiet) {
      this.notify(error);
    }
  }

  async rename(id: string, title: string): Promise<void> {
    await this.doing(async () => {
      await this.api.patchConversation(id, { title });
      if (id === this.state.conversationId) {
        this.set({ title });
      }
      await this.refreshConversations();
      this.tell(id);
    });
  }

  async deleteConversation(id: string): Promise<void> {
    await this.doing(async () => {
      await this.api.deleteConversation(id);
      if (id === this.state.conversationId) {
        this.leave();
        this.show(null, null, true);
      }
      await this.refreshConversations();
      this.tell(id);
    });
  }

  /** Titles and text; the list itself stays as it is. */
  search(query: string): ReturnType<Api['conversations']> {
    return this.api.conversations(query);
  }

  exportConversation(id: string, format: ExportFormat): Promise<Blob> {
    return this.api.export(id, format);
  }

  async refreshConversations(): Promise<void> {
    try {
      const conversations = await this.api.conversations();
      const first = !this.state.conversationsLoaded;
      const shown = conversations.find(
        other => other.id === this.state.conversationId
      );
      const title = shown?.title ?? this.state.title;
      this.set({ conversations, conversationsLoaded: true, title });
      if (first) {
        void this.followUnseen(() => true);
      }
    } catch {
      // The status says what is wrong; the list stays as it was.
    }
  }

  /** Summarise this conversation, so that the next question has room. */
  async compact(): Promise<string | null> {
    let id: string | null = null;
    await this.doing(async () => {
      id = await this.send({ mode: 'compact', text: '' });
    });
    return id;
  }

  /** Summarise, and go on in a new conversation that begins with the summary. */
  async newFromSummary(): Promise<void> {
    const id = await this.compact();
    if (id === null) {
      return;
    }
    const turn = await this.ended(id);
    if (turn?.state === 'complete') {
      await this.doing(async () => {
        const conversation = await this.api.conversationFrom(id);
        this.leave();
        this.show(await this.api.conversation(conversation.id));
        await this.refreshConversations();
      });
    }
  }

  setModel(model: string | null): void {
    this.options.memory.set('model', model);
    this.set({ model });
  }

  dismissNotice(): void {
    this.set({ notice: null });
  }

  notify(error: unknown): void {
    if (!this.seeTold(error)) {
      this.set({ notice: errorInfo(error) });
    }
  }

  /** Any answer may show first what the status would say next. */
  private seeTold(error: unknown): boolean {
    const info = errorInfo(error);
    const told = isTold(info);
    if (told) {
      this.set({ statusError: info });
    }
    return told;
  }

  /** Running turns of the conversation shown. */
  running(): ITurn[] {
    return [...this.state.turns.values()].filter(isRunning);
  }

  /** Resolves with the turn when it has ended; null: it is no longer shown. */
  ended(id: string): Promise<ITurn | null> {
    return new Promise(resolve => {
      const look = () => {
        const turn = this.state.turns.get(id) ?? null;
        if (turn === null || FINAL_STATES.has(turn.state)) {
          stop();
          resolve(turn);
        }
      };
      const stop = this.subscribe(look);
      look();
    });
  }

  /** Read the conversation shown again; keeps the branch that is shown. */
  async reload(): Promise<void> {
    const id = this.state.conversationId;
    const opened = this.opened;
    if (id === '') {
      return;
    }
    try {
      const conversation = await this.read(id);
      if (opened === this.opened && id === this.state.conversationId) {
        this.show(conversation, this.state.head);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (isGone(error) && opened === this.opened) {
        this.leave();
        this.show(null, null, true);
      }
    }
  }

  /** Another conversation will be shown; what was on its way belongs elsewhere. */
  private leave(): number {
    this.founding = null;
    this.opened += 1;
    return this.opened;
  }

  /** What runs in the conversation that was shown goes on, and is asked for. */
  private moveTo(conversationId: string): void {
    if (conversationId !== this.state.conversationId) {
      this.elsewhere.add(this.state.turns.values());
      this.elsewhere.drop(conversationId);
    }
  }

  /** Once more when a turn was placed meanwhile: the answer may not have it yet. */
  private async read(id: string): Promise<IConversation> {
    for (;;) {
      const placed = this.placed;
      const conversation = await this.api.conversation(id);
      if (placed === this.placed) {
        return conversation;
      }
    }
  }

  // What the server says

  private onEvents(id: string, events: readonly TurnEvent[]): void {
    const live = this.liveOf(id);
    let turn = this.state.turns.get(id);
    if (!turn) {
      return;
    }
    const before = turn;
    for (const event of events) {
      live.apply(event);
      turn = foldTurn(turn, event, live.parts);
    }
    // The last words are on the page before the panel is drawn anew.
    live.notify();
    if (turn !== before) {
      this.place(turn);
    }
  }

  private onTurn(turn: ITurn): void {
    if (this.state.turns.has(turn.id)) {
      const live = this.liveOf(turn.id);
      live.replace(turn.parts ?? []);
      this.place(turn);
      live.notify();
    }
  }

  private onElsewhere(elsewhere: Turns): void {
    this.set({ elsewhere });
    const ended = [...elsewhere.values()]
      .filter(turn => FINAL_STATES.has(turn.state))
      .map(turn => turn.conversation_id);
    if (ended.length) {
      // What waited there has begun.
      void this.refreshConversations().then(() =>
        this.followUnseen(id => ended.includes(id))
      );
    }
  }

  /** What the list says to run in these conversations; the one shown is read. */
  private async followUnseen(these: (id: string) => boolean): Promise<void> {
    for (const { id, running } of this.state.conversations) {
      const unseen = () => id !== this.state.conversationId;
      if (running && these(id) && unseen()) {
        const turn = await this.api.turn(running).catch(() => null);
        if (turn && unseen()) {
          this.elsewhere.add([turn]);
        }
      }
    }
  }

  private place(turn: ITurn): void {
    const before = this.state.turns.get(turn.id);
    const turns = new Map(this.state.turns).set(turn.id, turn);
    const starts = before && isWaiting(before) && !isWaiting(turn);
    this.set({ turns, ...(starts ? { head: turn.id } : {}) });
    if (FINAL_STATES.has(turn.state)) {
      this.lives.delete(turn.id);
      void this.afterEnd(turn);
    }
    this.follow();
  }

  /** Waiting turns may be held now, other tabs look. */
  private async afterEnd(turn: ITurn): Promise<void> {
    this.tell(turn.conversation_id);
    await this.refreshConversations();
    if (turn.state === 'error') {
      await this.refreshStatus();
    }
    if ([...this.state.turns.values()].some(isWaiting)) {
      await this.reload();
    }
  }

  private placeNew(
    created: ITurnCreated,
    question: IQuestion,
    request: ITurnRequest,
    opened: number
  ): void {
    const { turn_id: id, conversation_id: conversationId } = created;
    const shown = this.state.conversationId;
    this.placed += 1;
    this.tell(conversationId);
    void this.refreshConversations();
    const founded = shown === '' && opened === this.opened;
    if (this.state.turns.has(id)) {
      return;
    }
    const turn = newTurn(created, question, request, this.state);
    // Meanwhile the user may have gone elsewhere; then the turn runs on unseen.
    if (shown !== conversationId && !founded) {
      this.elsewhere.add([turn]);
      return;
    }
    this.set({
      conversationId,
      carries: founded || this.state.carries,
      head: isWaiting(turn) ? this.state.head : id,
      turns: new Map(this.state.turns).set(id, turn)
    });
    this.options.memory.set('shown', conversationId);
    this.follow();
    if (FINAL_STATES.has(turn.state)) {
      // Asked before, and answered while nobody knew of it.
      void this.reload();
    }
  }

  private show(
    conversation: IConversation | null,
    head: string | null = null,
    carries = false
  ): void {
    const turns = new Map(
      (conversation?.turns ?? []).map(turn => [turn.id, this.merged(turn)])
    );
    const shown = headToShow(turns, head, conversation?.head_id);
    for (const id of [...this.lives.keys()]) {
      const turn = turns.get(id);
      if (!turn || FINAL_STATES.has(turn.state)) {
        this.lives.delete(id);
      }
    }
    this.options.memory.set('shown', conversation?.id ?? null);
    this.moveTo(conversation?.id ?? '');
    this.set({
      conversationId: conversation?.id ?? '',
      title: conversation?.title ?? '',
      carries,
      opening: false,
      turns,
      head: shown,
      notice: null
    });
    this.follow();
  }

  /** Text that was read live is newer than that of a list that was on its way. */
  private merged(turn: ITurn): ITurn {
    const known = this.state.turns.get(turn.id);
    return known &&
      FINAL_STATES.has(known.state) &&
      !FINAL_STATES.has(turn.state)
      ? known
      : turn;
  }

  private liveOf(id: string): LiveTurn {
    const known = this.lives.get(id);
    if (known) {
      return known;
    }
    const live = new LiveTurn(id, this.state.turns.get(id)?.parts);
    this.lives.set(id, live);
    return live;
  }

  private follow(): void {
    const { turns } = this.state;
    const pending = waiting(turns).filter(turn => turn.state === 'pending');
    const followed = [
      ...this.running().slice(0, MOST_RUNNING),
      ...pending.slice(0, MOST_PENDING)
    ];
    followed.forEach(turn => this.liveOf(turn.id));
    this.reader.follow(followed);
  }

  // Small things

  private async doing(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.notify(error);
    }
  }

  private async thenReload(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } finally {
      await this.reload();
      this.tell(this.state.conversationId);
    }
  }

  private tell(conversationId: string): void {
    this.options.channel?.post(conversationId);
  }

  private onOtherTab(conversationId: string): void {
    void this.refreshConversations();
    if (conversationId === this.state.conversationId) {
      void this.reload();
    }
  }

  private readonly reader: EventsReader;
  private readonly elsewhere: Elsewhere;
  private readonly lives = new Map<string, LiveTurn>();
  /** Grows with each conversation shown: a late answer must not win. */
  private opened = 0;
  /** The id that the first question of the new conversation shown brings; '': none. */
  private founding: Promise<string> | null = null;
  /** A turn is on its way to be asked again, or to be gone on with. */
  private asking = false;
  /** Grows with each turn asked here. */
  private placed = 0;
}

export type { IChatState, IErrorInfo };
