/** What Enter does: a command of the browser, an edit, or a question. */
import * as React from 'react';

import { errorInfo, isGone } from '../../api';
import { localCommand, unknownCommand } from '../../chat/commands';
import type { IComposerState, ITaken, IUpload } from '../../chat/composer';
import { isTold } from '../../chat/state';
import { describe } from '../describe';
import { showHelp } from './Help';
import type { IComposerProps } from './props';
import { useEdit, type IEdit } from './useEdit';

export function runLocal(props: IComposerProps, name: string): void {
  if (name === 'help') {
    showHelp(props.trans, props.sendWith);
  } else {
    props.actions.newConversation();
  }
}

export interface ISend {
  send(now: boolean): void;
  error: string | null;
  /** what stands in the box did not get through; the banner that told it may be gone */
  unsent: boolean;
  /** it leaves by itself when its uploads have arrived; `dontWait` takes that back */
  waits: boolean;
  dontWait(): void;
  /** the conversation shown is gone: ask the same in a new one; null: it is not */
  askAnew: (() => void) | null;
  clearError(): void;
  edit: IEdit;
  /** it is nearly a command, and was not sent at once */
  doubted: boolean;
  sendAsText(): void;
}

/** What stood in the box, and where, when the server could not be reached. */
type Unsent = Pick<IComposerState, 'conversation' | 'text'>;

/** The same, when it was sent before its uploads had arrived. */
type Waiting = Unsent & { now: boolean };

export function useSend(props: IComposerProps, state: IComposerState): ISend {
  const { trans, model, chat, actions } = props;
  const [error, setError] = React.useState<string | null>(null);
  const [unsent, setUnsent] = React.useState<Unsent | null>(null);
  const [gone, setGone] = React.useState<string | null>(null);
  const edit = useEdit(props, state);
  const [doubted, setDoubted] = React.useState<string | null>(null);
  const [waiting, setWaiting] = React.useState<Waiting | null>(null);
  const failed = (why: unknown, what: string, detach = false): void => {
    // A banner tells the rest, and what helps, as long as it is so.
    if (!isTold(errorInfo(why))) {
      setError(describe(trans, why, { makeRoom: false, detach }));
      return;
    }
    const { conversation, text } = model.getState();
    if (standsIn(text, what)) {
      setUnsent({ conversation, text });
    }
  };
  const here = unsent !== null && isStill(unsent, state);
  const edited = here && unsent.text !== state.text;
  React.useEffect(() => {
    if (edited) {
      setUnsent(null);
    }
  }, [edited]);
  const clear = (): void => {
    setWaiting(null);
    setError(null);
    setUnsent(null);
    setGone(null);
    edit.clearLost();
  };
  const ask = (taken: ITaken, now: boolean): void => {
    actions.send(taken, { now }).catch((why: unknown) => {
      failed(why, taken.text, taken.attached.length > 0);
      const { conversation, text } = model.getState();
      const back = isGone(why) && standsIn(text, taken.text);
      setGone(back && conversation !== '' ? conversation : null);
    });
  };
  const askAnew = (): void => {
    clear();
    const taken = model.take();
    actions.newConversation();
    ask({ ...taken, conversation: '' }, false);
  };
  const send = (now: boolean, certain = false): void => {
    if (state.text.trim() === '' || chat.blocked !== null) {
      return;
    }
    const slip = Boolean(unknownCommand(state.text)?.near);
    if (slip && !certain && doubted !== state.text) {
      setDoubted(state.text);
      return;
    }
    clear();
    const local = localCommand(state.text);
    if (local) {
      model.fill('');
      runLocal(props, local);
      return;
    }
    const editing = state.editing;
    if (editing) {
      edit
        .save(editing, state.text)
        .catch((why: unknown) => failed(why, state.text));
      return;
    }
    if (state.uploads.some(isUnderWay)) {
      const { conversation, text } = state;
      setWaiting({ conversation, text, now });
      return;
    }
    ask(model.take(), now);
  };
  const next = waiting && nextOf(waiting, state);
  const go = React.useRef(send);
  go.current = send;
  React.useEffect(() => {
    if (next === 'send' || next === 'send-now') {
      go.current(next === 'send-now');
    } else if (next === 'drop') {
      setWaiting(null);
    }
  }, [next]);
  return {
    send,
    waits: next === 'wait',
    dontWait: () => setWaiting(null),
    error: edit.lost
      ? trans.__('The message you were editing was sent or removed meanwhile.')
      : error,
    unsent: here && !edited,
    askAnew:
      gone === state.conversation && state.editing === null ? askAnew : null,
    clearError: clear,
    edit,
    doubted: doubted === state.text,
    sendAsText: () => {
      setDoubted(state.text);
      send(false, true);
    }
  };
}

/** Is that conversation shown? It may have got its id meanwhile, and the text came along. */
function isStill(where: Unsent, now: Unsent): boolean {
  return (
    where.conversation === now.conversation ||
    (where.conversation === '' && where.text === now.text)
  );
}

/** As lines of its own: beside what was typed, or came back, meanwhile. */
function standsIn(text: string, question: string): boolean {
  return `\n${text}\n`.includes(`\n${question}\n`);
}

/** What becomes of a question that was sent before its uploads had arrived. */
function nextOf(
  waiting: Waiting,
  state: IComposerState
): 'wait' | 'drop' | 'send' | 'send-now' {
  const { conversation, text, uploads } = state;
  const changed =
    !isStill(waiting, { conversation, text }) || waiting.text !== text;
  // Without a file that could not be uploaded the question may make no sense.
  if (changed || uploads.some(upload => upload.error !== null)) {
    return 'drop';
  }
  if (uploads.some(isUnderWay)) {
    return 'wait';
  }
  return waiting.now ? 'send-now' : 'send';
}

function isUnderWay(upload: IUpload): boolean {
  return upload.error === null;
}
