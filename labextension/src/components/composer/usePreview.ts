import * as React from 'react';

import { attachedItems, type IComposerState } from '../../chat/composer';
import type { Preview } from '../../chat/preview';
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
  const latest = React.useRef(() => {});
  latest.current = () => {
    const visible = root.current?.offsetParent !== null && !document.hidden;
    if (!visible || chat.status === null || chat.blocked !== null) {
      return;
    }
    preview.want(
      {
        conversation_id: state.conversation || undefined,
        mode: chat.mode,
        model: chat.model ?? undefined,
        text: state.text
      },
      attached
    );
  };
  const { running, model, mode, blocked } = chat;
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
  React.useEffect(() => {
    if (!running) {
      latest.current();
    }
  }, [
    keys,
    state.text,
    state.conversation,
    running,
    model,
    mode,
    turns,
    known,
    blocked
  ]);
  React.useEffect(() => () => preview.cancel(), [preview]);
  return React.useCallback(() => latest.current(), []);
}
