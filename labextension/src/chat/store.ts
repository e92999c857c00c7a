/**
 * The chat's state and what can be done with it: ask, stop, and look after the
 * conversations.
 */
import { ApiError, errorInfo, requestKey } from '../api';
import type { Api, ExportFormat } from '../api';
import { FINAL_STATES } from '../wire/types';
import type { ContextPart, ITurn } from '../wire/types';
import { copyOf, newTurn, requestFor } from './question';
import type { IQuestion } from './question';
import { Shown } from './shown';
import { isAsking, isTold } from './state';
import type { ISending } from './state';
import { isRunning, leafOf } from './tree';

/**
 * What was shown when a question was typed. New conversations have no id to tell them
 * apart: who begins another one meanwhile asks there, and what was typed before does not.
 */
export interface IPlace {
  readonly opened: number;
  /** the conversation that a question asked here has founded; '': none yet */
  founded: string;
  /**
   * resolves when the questions asked here have been taken or refused; with why, where
   * no server was there for the last of them
   */
  line: Promise<unknown>;
}

const FREE: Promise<unknown> = Promise.resolve(null);

function newPlace(opened: number): IPlace {
  return { opened, founded: '', line: FREE };
}

/** What stands behind a question that found no server comes back with it: it would wait as long, each. */
function standBehind(place: IPlace, posting: Promise<string>): void {
  const line = Promise.allSettled([posting, place.line]).then(([posted]) =>
    posted.status === 'rejected' && isTold(errorInfo(posted.reason))
      ? posted.reason
      : null
  );
  place.line = line;
  void line.then(() => {
    place.line = place.line === line ? FREE : place.line;
  });
}

export class ChatStore extends Shown {
  // Questions

  /**
   * Ask, behind what was asked from there before. Rejects with `ApiError` when nothing
   * was taken: put the text back. `reading`: the same question with what goes along;
   * it is shown meanwhile.
   */
  async send(
    question: IQuestion,
    from = this.here,
    reading = Promise.resolve(question)
  ): Promise<string> {
    const sending: ISending = {
      key: question.key ?? requestKey(),
      conversationId: question.conversationId ?? this.state.conversationId,
      text: question.text ?? '',
      pills: question.pills ?? []
    };
    if (sending.text === '') {
      // Without a text of its own there is nothing to show before the turn is there.
      this.set({ notice: null });
      return this.post(sending, from, reading, FREE);
    }
    this.set({ sending: [...this.state.sending, sending], notice: null });
    const posting = this.post(sending, from, reading, from.line);
    standBehind(from, posting);
    return posting;
  }

  private async post(
    { key, conversationId }: ISending,
    from: IPlace,
    reading: Promise<IQuestion>,
    before: Promise<unknown>
  ): Promise<string> {
    // The model that is chosen while it stands in line is meant for the next one.
    const asked = this.state;
    try {
      const [question, away] = await Promise.all([reading, before]);
      if (away) {
        throw away;
      }
      // It may have been asked before the first question's conversation had an id.
      const id = conversationId || from.founded;
      const request = requestFor(question, key, id, asked);
      const created = await this.api.postTurn(request);
      const founds = id === '';
      from.founded ||= founds ? created.conversation_id : '';
      this.placeNew(
        newTurn(created, question, request, this.state),
        founds && from === this.now
      );
      if (this.state.statusError) {
        // It answers after all.
        void this.refreshStatus();
      }
      return created.turn_id;
    } catch (error) {
      this.seeTold(error);
      throw error;
    } finally {
      this.set({
        sending: this.state.sending.filter(other => other.key !== key)
      });
    }
  }

  /** Take it when the question is typed: another conversation may be shown when it is read. */
  get here(): IPlace {
    return this.now;
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

  /** Stop a turn; without one, whatever runs in the conversation shown. */
  async stop(turnId?: string): Promise<void> {
    const ids = turnId ? [turnId] : this.running().map(turn => turn.id);
    await this.doing(async () => {
      await Promise.all(ids.map(id => this.api.stopTurn(id)));
    });
  }

  /** Ask the same again as a branch beside it, also after an error. */
  async regenerate(turnId: string): Promise<void> {
    await this.askOnce(turnId, copyOf);
  }

  /** Another question in its place; without `context` that of the turn. */
  async editAndResend(
    turnId: string,
    text: string,
    context?: ContextPart[]
  ): Promise<void> {
    const turn = this.state.turns.get(turnId);
    if (turn) {
      await this.send({ ...copyOf(turn), text, context });
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
    if (!turn || this.asking || isAsking(this.state)) {
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

  /** Held while it is edited. What no longer waits shows by itself. */
  async holdPending(turnId: string, held: boolean): Promise<void> {
    try {
      await this.thenReload(() => this.api.patchTurn(turnId, { held }));
    } catch (error) {
      if (!(error instanceof ApiError && [404, 409].includes(error.status))) {
        this.notify(error);
      }
    }
  }

  /** It waits on with its new text. Rejects with `ApiError` when it was not taken: the text is not lost. */
  async editPending(
    turnId: string,
    text: string,
    context?: ContextPart[]
  ): Promise<void> {
    try {
      await this.thenReload(() =>
        this.api.patchTurn(turnId, { text, context, held: false })
      );
    } catch (error) {
      this.seeTold(error);
      throw error;
    }
  }

  async removePending(turnId: string): Promise<void> {
    await this.doing(() => this.thenReload(() => this.api.deleteTurn(turnId)));
  }

  private async thenReload(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } finally {
      await this.reload();
      this.tell(this.state.conversationId);
    }
  }

  // Conversations

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
        this.newConversation(true);
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

  /** Another conversation has another first question. */
  protected override leave(): number {
    this.now = newPlace(super.leave());
    // What is on its way to the new conversation that was shown is not meant for this one.
    this.set({
      sending: this.state.sending.filter(each => each.conversationId)
    });
    return this.now.opened;
  }

  private now = newPlace(this.opened);
  /** A turn is on its way to be asked again, or to be gone on with. */
  private asking = false;
}
