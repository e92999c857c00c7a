/** Editing a waiting message: while it lasts the server does not start it. */
import * as React from 'react';

import { ApiError, isGone, requestKey } from '../../api';
import type { IComposerState, ITaken } from '../../chat/composer';
import type { ITurn } from '../../wire/types';
import type { IComposerProps } from './props';

export interface IEdit {
  begin(turn: ITurn): void;
  /** the message waits on as it was */
  cancel(): void;
  /** the message is changed and waits on; rejects when that was not taken */
  save(turn: ITurn, text: string): Promise<void>;
  /** the edit has ended because its message no longer waits */
  lost: boolean;
  clearLost(): void;
}

export function useEdit(props: IComposerProps, state: IComposerState): IEdit {
  const { model, chat, actions } = props;
  const [lost, setLost] = React.useState(false);
  const saving = React.useRef(false);
  const { editing } = state;
  const letGo = (): void => {
    const before = model.getState().editing;
    if (before) {
      void actions.holdPending(before, false);
    }
  };
  const lose = (): void => {
    const { text, editing: turn } = model.getState();
    model.endEdit(turn !== null && text !== turn.text);
    setLost(true);
  };
  const atLoss = React.useRef(lose);
  atLoss.current = lose;
  const waits =
    editing === null ||
    chat.opening ||
    chat.pending.some(turn => turn.id === editing.id);
  React.useEffect(() => {
    if (!waits && !saving.current) {
      atLoss.current();
    }
  }, [waits]);
  return {
    begin: turn => {
      if (model.getState().editing?.id !== turn.id) {
        letGo();
        model.edit(turn);
        void actions.holdPending(turn, true);
      }
      setLost(false);
      model.focus();
    },
    cancel: () => {
      letGo();
      model.endEdit();
    },
    save: async (turn, text) => {
      saving.current = true;
      try {
        await actions.changePending(turn, text);
        const now = model.getState();
        if (now.editing?.id === turn.id) {
          // What was typed while it was saved becomes a draft.
          model.endEdit(now.text !== text);
        }
      } catch (why) {
        const here = model.getState().editing?.id === turn.id;
        if (!here) {
          model.putBack(draftOf(turn, text));
        }
        if (!isNoLongerWaiting(why)) {
          throw why;
        }
        if (here) {
          lose();
        } else {
          setLost(true);
        }
      } finally {
        saving.current = false;
      }
    },
    lost,
    clearLost: () => setLost(false)
  };
}

/** What was typed into a message that could not be saved, when another one is edited. */
function draftOf(turn: ITurn, text: string): ITaken {
  const key = requestKey();
  const conversation = turn.conversation_id;
  return { key, conversation, text, items: [], attached: [] };
}

/** It started, or was removed elsewhere, while it was edited here. */
function isNoLongerWaiting(why: unknown): boolean {
  return why instanceof ApiError && (why.status === 409 || isGone(why));
}
