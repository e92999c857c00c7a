/**
 * The composer on the chat's store: the store's state as the composer's values, and
 * its actions.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { isGone } from '../../api';
import { ComposerModel, type ITaken } from '../../chat/composer';
import { partsToSend, revived, saved } from '../../chat/items';
import { Drafts } from '../../chat/drafts';
import { featuresOff } from '../../chat/features';
import { Outbox, type IUnsent } from '../../chat/outbox';
import { Preview } from '../../chat/preview';
import { mostReadable, type IQuestion } from '../../chat/question';
import { isBlocking, onTheWay } from '../../chat/state';
import type { ChatStore } from '../../chat/store';
import { cellOf } from '../../chat/subject';
import type { IContextItem } from '../../chat/tokens';
import {
  branchTo,
  isRunning,
  siblings,
  waiting,
  type Turns
} from '../../chat/tree';
import type { IErrorInfo, IPill, ITurn, SentPart } from '../../wire/types';
import { Compacting, compactingWords, newsIn } from '../compacting';
import { describe } from '../describe';
import type { IComposerActions, IComposerChat } from './props';

/** What the panel keeps of the composer: made once, beside the store. */
export interface IComposerRoom {
  model: ComposerModel;
  preview: Preview;
  compacting: Compacting;
  /**
   * ask with these, in the conversation shown; the plugins' `IChat.ask` too. One that is
   * refused stands in the draft again when it rejects
   */
  ask(taken: ITaken, options: { now: boolean }): Promise<void>;
  dispose(): void;
}

function storage(name: 'localStorage' | 'sessionStorage'): Storage | null {
  try {
    return window[name];
  } catch {
    return null;
  }
}

export function createComposer(store: ChatStore): IComposerRoom {
  const drafts = new Drafts(
    storage('localStorage'),
    store.api.scope,
    storage('sessionStorage')
  );
  const outbox = new Outbox(storage('sessionStorage'), store.api.scope);
  const model = new ComposerModel(drafts);
  const most = (): number | undefined => mostReadable(store.getState());
  const preview = new Preview(
    (request, signal) => store.api.preview(request, signal),
    most
  );
  const follow = (): void => {
    const { conversationId, carries, status } = store.getState();
    model.lock(featuresOff(status));
    if (carries) {
      model.carryTo(conversationId);
    } else {
      model.switchTo(conversationId);
    }
  };
  const flush = (): void => drafts.flush();
  window.addEventListener('pagehide', flush);
  const stop = store.subscribe(follow);
  follow();
  /** Into the draft of where it was asked; where that is gone, of a new conversation. */
  const giveBack = (taken: ITaken, why?: unknown, founded = ''): void => {
    const asked = taken.conversation || founded;
    const lost = isGone(why) && asked !== store.getState().conversationId;
    model.putBack({ ...taken, conversation: lost ? '' : asked });
    // Only what is in a draft is let go here.
    drafts.flush();
    outbox.drop(taken.key);
  };
  /** The page was closed while this question was on its way. */
  const resume = async (unsent: IUnsent): Promise<void> => {
    const { key, conversation, text, question } = unsent;
    const items = unsent.items.map(item => revived(item, model.sources));
    const taken = { key, conversation, text, items, attached: [] };
    if (!question) {
      giveBack(taken);
      return;
    }
    const { here } = store;
    try {
      await store.send(question, here);
      outbox.drop(key);
    } catch (error) {
      store.notify(error);
      giveBack(taken, error, here.founded);
    }
  };
  outbox.all().forEach(unsent => void resume(unsent));
  return {
    model,
    preview,
    compacting: new Compacting(store, preview),
    ask: async (taken, { now }) => {
      const { here } = store;
      const unsent = unsentOf(taken, here.opened);
      outbox.put(unsent);
      const before = now ? runningIn(store, taken.conversation) : [];
      const reading = questionOf(taken, most()).then(question => {
        // The conversation may have been founded while its parts were read.
        const conversation = taken.conversation || here.founded;
        const there = { ...question, conversationId: conversation };
        outbox.put({ ...unsent, conversation, question: there });
        return question;
      });
      let id: string;
      try {
        id = await store.send(unreadOf(taken), here, reading);
      } catch (error) {
        giveBack(taken, error, here.founded);
        throw error;
      }
      outbox.drop(taken.key);
      if (taken.conversation === '') {
        outbox.found(here.opened, here.founded);
      }
      if (now) {
        await sendNow(store, id, [...before, ...runningBeside(store, id)]);
      }
    },
    dispose: () => {
      stop();
      flush();
      preview.cancel();
      window.removeEventListener('pagehide', flush);
    }
  };
}

function pillOf(item: IContextItem, part: SentPart | null): IPill {
  const { kind, label, path, auto } = item;
  return { kind, label, path, auto, cell: part ? cellOf(part) : undefined };
}

function unsentOf(taken: ITaken, place: number): IUnsent {
  const { key, conversation, text, items } = taken;
  return {
    key,
    conversation,
    place,
    text,
    items: items.map(saved),
    question: null
  };
}

/** As it is shown while what goes along is read. */
function unreadOf({ key, conversation, text, attached }: ITaken): IQuestion {
  const pills = attached.map(item => pillOf(item, null));
  return { key, text, pills, conversationId: conversation };
}

async function questionOf(
  taken: ITaken,
  most: number | undefined
): Promise<IQuestion> {
  const parts = await partsToSend(taken.attached, most);
  return {
    ...unreadOf(taken),
    context: parts.filter((part): part is SentPart => part !== null),
    pills: taken.attached.map((item, index) => pillOf(item, parts[index]))
  };
}

function runningIn(store: ChatStore, conversation: string): ITurn[] {
  return store.running().filter(turn => turn.conversation_id === conversation);
}

/** What runs where this turn is shown. */
function runningBeside(store: ChatStore, id: string): ITurn[] {
  const shown = store.getState().turns.has(id);
  return shown ? store.running().filter(turn => turn.id !== id) : [];
}

/**
 * A waiting turn goes before everything else: what is `running` is stopped; when
 * that has ended this one is let go, unless it started by itself meanwhile.
 */
async function sendNow(
  store: ChatStore,
  id: string,
  running: readonly ITurn[]
): Promise<void> {
  const before = [...new Set(running.map(turn => turn.id))];
  await Promise.all(before.map(turn => store.stop(turn)));
  await Promise.all(before.map(turn => store.ended(turn)));
  if (before.length) {
    await store.reload();
  }
  const state = store.getState().turns.get(id)?.state;
  if (state === 'pending' || state === 'held') {
    await store.release(id);
  }
}

export interface IBinding {
  chat: IComposerChat;
  actions: IComposerActions;
}

export function useBinding(
  trans: TranslationBundle,
  store: ChatStore,
  room: IComposerRoom
): IBinding {
  const state = React.useSyncExternalStore(store.subscribe, store.getState);
  const { compacting } = room;
  const summing = React.useSyncExternalStore(
    compacting.subscribe,
    compacting.getState
  );
  const { conversationId, turns, head, sending, status, statusError, model } =
    state;
  const questions = React.useMemo(
    () =>
      branchTo(turns, head)
        .filter(turn => turn.mode !== 'compact' && turn.text !== '')
        .map(turn => turn.text),
    [turns, head]
  );
  const chat: IComposerChat = {
    status,
    running: [...turns.values()].some(isRunning),
    pending: React.useMemo(() => waiting(turns), [turns]),
    opening: state.opening,
    edits: React.useMemo(() => editsOf(turns), [turns]),
    sending: React.useMemo(
      () => onTheWay({ sending, turns, conversationId }).behind,
      [sending, turns, conversationId]
    ),
    questions,
    model,
    blocked: blockedBy(trans, statusError),
    reached: statusError === null,
    compacting: compactingWords(trans, newsIn(summing, state))
  };
  const actions: IComposerActions = {
    send: (taken, { now }) => room.ask(taken, { now }),
    stop: () => void store.stop(),
    holdPending: (turn, held) => store.holdPending(turn.id, held),
    changePending: (turn: ITurn, text: string) =>
      store.editPending(turn.id, text),
    removePending: turn => store.removePending(turn.id),
    sendPending: turn =>
      sendNow(store, turn.id, runningIn(store, turn.conversation_id)),
    chooseModel: id => store.setModel(id),
    newConversation: () => store.newConversation(),
    compact: compacting.compact,
    newFromSummary: compacting.newFromSummary,
    usage: () => store.api.usage()
  };
  return { chat, actions };
}

/** Waiting turns that go where another stands already. */
function editsOf(turns: Turns): ReadonlySet<string> {
  const edits = waiting(turns).filter(turn => siblings(turns, turn).length > 0);
  return new Set(edits.map(turn => turn.id));
}

function blockedBy(
  trans: TranslationBundle,
  error: IErrorInfo | null
): string | null {
  return error && isBlocking(error) ? describe(trans, error) : null;
}
