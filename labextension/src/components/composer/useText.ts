/**
 * The textarea's behaviour: it grows with its text, knows where the caret is, and
 * turns keys into what the composer does.
 */
import * as React from 'react';

import type { ComposerModel, IComposerState } from '../../chat/composer';
import { keyAction, type IKeySituation, type KeyAction } from '../../chat/keys';
import { triggerAt, type IEdited, type ITrigger } from '../../chat/mentions';
import {
  NOT_RECALLING,
  recallEarlier,
  recallLater,
  recallList
} from '../../chat/recall';

/** Beyond this many characters the box is full anyway: no measuring per key. */
const SURELY_FULL = 20_000;
const PANEL_SHARE = 0.4;

function grow(area: HTMLTextAreaElement): void {
  const panel = area.closest('.jp-Cellar-panel') ?? document.body;
  const most = Math.max(80, panel.clientHeight * PANEL_SHARE);
  if (area.value.length > SURELY_FULL) {
    area.style.height = `${most}px`;
    return;
  }
  area.style.height = 'auto';
  area.style.height = `${Math.min(area.scrollHeight, most)}px`;
}

export interface IText {
  area: React.RefObject<HTMLTextAreaElement>;
  /** the `@` or `/` that the caret stands in, unless Escape closed its menu */
  trigger: ITrigger | null;
  closeMenu(): void;
  /** text and caret after something was chosen in the menu */
  edit(edited: IEdited): void;
  changed(event: React.ChangeEvent<HTMLTextAreaElement>): void;
  caretMoved(): void;
  keyPressed(
    event: React.KeyboardEvent<HTMLTextAreaElement>,
    now: Pick<IKeySituation, 'menu' | 'running' | 'sendWith'>
  ): KeyAction;
}

export function useText(
  model: ComposerModel,
  state: IComposerState,
  questions: readonly string[]
): IText {
  const area = React.useRef<HTMLTextAreaElement>(null);
  const [caret, setCaret] = React.useState(0);
  const [closed, setClosed] = React.useState<string | null>(null);
  const wanted = React.useRef<number | null>(null);
  const recalled = React.useRef(NOT_RECALLING);

  React.useLayoutEffect(() => {
    const element = area.current;
    if (!element) {
      return;
    }
    grow(element);
    if (wanted.current !== null) {
      element.setSelectionRange(wanted.current, wanted.current);
      setCaret(wanted.current);
      wanted.current = null;
    }
  }, [state.text]);
  useGrowWithPanel(area);
  useOutsideText(area, state, setCaret);

  const found = React.useMemo(
    () => triggerAt(state.text, caret),
    [state.text, caret]
  );
  const mark = found ? `${found.kind}${found.start}` : null;
  React.useEffect(() => {
    if (mark === null) {
      setClosed(null);
    }
  }, [mark]);

  const recall = (action: 'recall-earlier' | 'recall-later'): void => {
    const step = action === 'recall-earlier' ? recallEarlier : recallLater;
    const next = step(recallList(questions), recalled.current);
    if (next) {
      recalled.current = next;
      wanted.current = next.text.length;
      model.setText(next.text);
    }
  };
  return {
    area,
    trigger: found && mark !== closed ? found : null,
    closeMenu: () => setClosed(mark),
    edit: edited => {
      wanted.current = edited.caret;
      model.setText(edited.text);
      setCaret(edited.caret);
      area.current?.focus();
    },
    changed: event => {
      setCaret(event.target.selectionEnd);
      model.setText(event.target.value);
    },
    caretMoved: () => setCaret(area.current?.selectionEnd ?? 0),
    keyPressed: (event, now) => {
      if (state.text !== recalled.current.text) {
        recalled.current = NOT_RECALLING;
      }
      const recalling = recalled.current.position >= 0;
      const action = keyAction(keyOf(event), {
        ...now,
        recalling,
        recallable: recalling || state.text === '',
        editing: state.editing !== null
      });
      if (action !== 'none') {
        event.preventDefault();
        event.stopPropagation();
      }
      if (action === 'recall-earlier' || action === 'recall-later') {
        recall(action);
      }
      return action;
    }
  };
}

function keyOf(event: React.KeyboardEvent): {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  isComposing: boolean;
  keyCode: number;
} {
  const { key, shiftKey, ctrlKey, metaKey, altKey, nativeEvent } = event;
  const { isComposing, keyCode } = nativeEvent;
  return { key, shiftKey, ctrlKey, metaKey, altKey, isComposing, keyCode };
}

/** A narrower or lower panel wraps the text anew. */
function useGrowWithPanel(area: React.RefObject<HTMLTextAreaElement>): void {
  React.useEffect(() => {
    const element = area.current;
    const panel = element?.closest('.jp-Cellar-panel');
    if (!element || !panel) {
      return;
    }
    const observer = new ResizeObserver(() => grow(element));
    observer.observe(panel);
    return () => observer.disconnect();
  }, [area]);
}

/** Text that came from outside gets the caret at its end; a wish for focus is met. */
function useOutsideText(
  area: React.RefObject<HTMLTextAreaElement>,
  state: IComposerState,
  setCaret: (caret: number) => void
): void {
  React.useEffect(() => {
    const element = area.current;
    if (element) {
      const end = element.value.length;
      element.setSelectionRange(end, end);
      setCaret(end);
    }
  }, [area, state.revision, setCaret]);
  const first = React.useRef(state.focus);
  React.useEffect(() => {
    if (state.focus !== first.current) {
      area.current?.focus();
    }
  }, [area, state.focus]);
}
