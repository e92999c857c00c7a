import * as React from 'react';

import type { IComposerState } from '../../chat/composer';
import { attachedItems } from '../../chat/items';
import { PREVIEW_REST, TYPING_REST, type Preview } from '../../chat/preview';
import type { IComposerChat } from './props';

/**
 * Asks what the question would cost whenever it would cost something else, as long
 * as somebody can see the meter. Answers a function that asks at once (on focus:
 * the notebook may have been edited meanwhile).
 */
export function usePreview(
  root: React.RefObject<HTMLElement>,
  preview: Preview,
  state: IComposerState,
  chat: IComposerChat
): () => void {
  const attached = attachedItems(state);
  const keys = attached.map(item => `${item.key}\n${item.label}`).join('\n\n');
  const latest = React.useRef((_rest: number) => {});
  latest.current = rest => {
    const visible = root.current?.offsetParent !== null && !document.hidden;
    const can = chat.status !== null && chat.blocked === null && !chat.running;
    if (!visible || !can) {
      return;
    }
    preview.want(
      {
        conversation_id: state.conversation || undefined,
        model: chat.model ?? undefined,
        text: state.text
      },
      attached,
      rest
    );
  };
  const { running, model, blocked } = chat;
  const turns = chat.questions.length;
  const known = chat.status !== null;
  // Before the asking effect: another conversation's figure must not stay; one
  // that only got its id is the same.
  const shown = React.useRef(state.conversation);
  React.useEffect(() => {
    const founded = shown.current === '' && running;
    if (shown.current !== state.conversation && !founded) {
      preview.reset();
    }
    shown.current = state.conversation;
  }, [preview, state.conversation, running]);
  // The words alone cost little: what is attached is not read at each pause.
  React.useEffect(() => latest.current(TYPING_REST), [state.text]);
  React.useEffect(() => {
    if (running) {
      preview.cancel();
    } else {
      latest.current(PREVIEW_REST);
    }
  }, [
    preview,
    keys,
    state.conversation,
    running,
    model,
    turns,
    known,
    blocked
  ]);
  React.useEffect(() => () => preview.cancel(), [preview]);
  return React.useCallback(() => latest.current(PREVIEW_REST), []);
}
