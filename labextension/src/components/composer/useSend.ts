/** What Enter does: a command of the browser, an edit, or a question. */
import * as React from 'react';

import { ApiError, errorInfo, isGone } from '../../api';
import { localCommand } from '../../chat/commands';
import type { IComposerState } from '../../chat/composer';
import { isTold } from '../../chat/state';
import { describe } from '../describe';
import { showHelp } from './Help';
import type { IComposerProps } from './props';

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
  clearError(): void;
}

export function useSend(props: IComposerProps, state: IComposerState): ISend {
  const { trans, model, chat, actions } = props;
  const [error, setError] = React.useState<string | null>(null);
  const failed = (why: unknown): void => {
    // A banner tells the rest, and what helps.
    if (!isTold(errorInfo(why))) {
      setError(describe(trans, why));
    }
  };
  const send = (now: boolean): void => {
    if (state.text.trim() === '' || chat.blocked !== null) {
      return;
    }
    setError(null);
    const local = localCommand(state.text);
    if (local) {
      model.fill('');
      runLocal(props, local);
      return;
    }
    const editing = state.editing;
    if (editing) {
      actions.changePending(editing, state.text).then(
        () => model.endEdit(),
        (why: unknown) => {
          if (isNoLongerWaiting(why)) {
            model.endEdit(true);
          }
          failed(why);
        }
      );
      return;
    }
    const taken = model.take();
    actions.send(taken, { now }).catch((why: unknown) => {
      model.putBack(taken);
      failed(why);
    });
  };
  return { send, error, clearError: () => setError(null) };
}

/** It started, or was removed elsewhere, while it was edited here. */
function isNoLongerWaiting(why: unknown): boolean {
  return why instanceof ApiError && (why.status === 409 || isGone(why));
}
