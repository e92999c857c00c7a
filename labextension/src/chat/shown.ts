/**
 * What is shown: the server's status, the list of conversations, and one conversation
 * with its turns, kept true by reading. Knows the server through `Api` and nothing of
 * the screen. Text being written is not in the state but in `live(turnId)`, so that a
 * token redraws one message and not the panel.
 */
import { ApiError, errorInfo, isGone } from '../api';
import type { Api } from '../api';
import { FINAL_STATES } from '../wire/types';
import type { IConversation, ITurn } from '../wire/types';
import type { IChannel } from './channel';
import { Elsewhere } from './elsewhere';
import { Following } from './following';
import type { LiveTurn } from './live';
import type { IMemory } from './memory';
import { EMPTY_CHAT, isTold, Observable } from './state';
import type { IChatState } from './state';
import { headToShow, isWaiting } from './tree';
import type { Turns } from './tree';

export interface IStoreOptions {
  api: Api;
  memory: IMemory;
  channel?: IChannel;
  hidden?: () => boolean;
}

export class Shown extends Observable<IChatState> {
  constructor(protected readonly options: IStoreOptions) {
    super({ ...EMPTY_CHAT, model: options.memory.get('model') || null });
    const { api } = options;
    this.following = new Following({
      events: (from, signal) => api.events(from, signal),
      turn: id => api.turn(id),
      turns: () => this.state.turns,
      onTurn: turn => this.place(turn),
      onConnection: lostSince => this.set({ lostSince }),
      onGone: () => void this.reload(),
      onSignedOut: () => void this.refreshStatus(),
      hidden: options.hidden ?? (() => document.hidden)
    });
    this.elsewhere = new Elsewhere({
      turn: id => api.turn(id),
      shown: () => this.state.conversationId,
      hidden: options.hidden ?? (() => document.hidden),
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
    this.following.dispose();
    this.elsewhere.dispose();
    this.options.channel?.close();
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
    this.following.restart();
    await Promise.all([
      this.refreshStatus(),
      this.refreshConversations(),
      this.reload()
    ]);
  }

  /** The page was hidden: the events response is closed, polling begins. */
  sleep(): void {
    this.following.restart();
  }

  /** A turn's text while it is written; null when it is not being written. */
  live(turnId: string): LiveTurn | null {
    return this.following.live(turnId);
  }

  // The conversation shown

  /** One that does not exist yet. `carries`: what is being typed comes along. */
  newConversation(carries = false): void {
    this.leave();
    this.show(null, null, carries);
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
    this.set({
      conversationId: id,
      title: known?.title ?? '',
      carries: false,
      turns: new Map(),
      head: null
    });
    this.following.follow();
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
    this.following.follow();
    if (!quiet) {
      this.notify(error);
    }
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
        this.newConversation(true);
        if (error.info.detail?.why === 'restarted') {
          // Nobody meant it; who deletes in another tab knows.
          this.notify(error);
        }
      }
    }
  }

  /** Another conversation will be shown; what was on its way belongs elsewhere. */
  protected leave(): number {
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

  protected show(
    conversation: IConversation | null,
    head: string | null = null,
    carries = false
  ): void {
    const turns = new Map(
      (conversation?.turns ?? []).map(turn => [turn.id, this.merged(turn)])
    );
    const shown = headToShow(turns, head, conversation?.head_id);
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
    this.following.follow();
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

  private place(turn: ITurn): void {
    const before = this.state.turns.get(turn.id);
    if (before && isWaiting(before) && turn.state === 'stopped') {
      // Most likely removed elsewhere: then it is no turn any more.
      void this.reload();
      return;
    }
    const turns = new Map(this.state.turns).set(turn.id, turn);
    const starts = before && isWaiting(before) && !isWaiting(turn);
    this.set({ turns, ...(starts ? { head: turn.id } : {}) });
    if (FINAL_STATES.has(turn.state)) {
      void this.afterEnd(turn);
    }
    this.following.follow();
  }

  /** Waiting turns may be held now, other tabs look. */
  private async afterEnd(turn: ITurn): Promise<void> {
    this.tell(turn.conversation_id);
    await this.refreshConversations();
    // The model may be away, the disk may have refused the answer.
    await this.refreshStatus();
    if ([...this.state.turns.values()].some(isWaiting)) {
      await this.reload();
    }
  }

  /** A turn that was asked. `founds`: the new conversation that is shown is its own. */
  protected placeNew(turn: ITurn, founds: boolean): void {
    const { id, conversation_id: conversationId } = turn;
    const shown = this.state.conversationId;
    this.placed += 1;
    this.tell(conversationId);
    void this.refreshConversations();
    const founded = founds && shown === '';
    const { sending } = this.state;
    if (this.state.turns.has(id)) {
      return;
    }
    // Meanwhile the user may have gone elsewhere; then the turn runs on unseen.
    if (shown !== conversationId && !founded) {
      this.elsewhere.add([turn]);
      return;
    }
    this.set({
      conversationId,
      carries: founded || this.state.carries,
      head: isWaiting(turn) ? this.state.head : id,
      turns: new Map(this.state.turns).set(id, turn),
      // What was asked behind it is meant for the conversation that has an id now.
      sending: founded
        ? sending.map(each => ({
            ...each,
            conversationId: each.conversationId || conversationId
          }))
        : sending
    });
    this.options.memory.set('shown', conversationId);
    this.following.follow();
    if (FINAL_STATES.has(turn.state)) {
      // Asked before, and answered while nobody knew of it.
      void this.reload();
    }
  }

  // The list of conversations

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
        void this.elsewhere.find(conversations);
      }
    } catch {
      // The status says what is wrong; the list stays as it was.
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
        this.elsewhere.find(
          this.state.conversations.filter(({ id }) => ended.includes(id))
        )
      );
    }
  }

  /** Who watches the page knows what was seen. */
  setUnseen(conversations: ReadonlySet<string>): void {
    this.set({ unseen: conversations });
  }

  // What failed, and other tabs

  dismissNotice(): void {
    this.set({ notice: null });
  }

  notify(error: unknown): void {
    if (!this.seeTold(error)) {
      this.set({ notice: errorInfo(error) });
    }
  }

  /** Any answer may show first what the status would say next. */
  protected seeTold(error: unknown): boolean {
    const info = errorInfo(error);
    const told = isTold(info);
    if (told) {
      this.set({ statusError: info });
    }
    return told;
  }

  protected async doing(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.notify(error);
    }
  }

  protected tell(conversationId: string): void {
    this.options.channel?.post(conversationId);
  }

  private onOtherTab(conversationId: string): void {
    void this.refreshConversations();
    if (conversationId === this.state.conversationId) {
      void this.reload();
    }
  }

  private readonly following: Following;
  private readonly elsewhere: Elsewhere;
  /** Grows with each conversation shown: a late answer must not win. */
  protected opened = 0;
  /** Grows with each turn asked here. */
  private placed = 0;
}
