/**
 * What a key means in the composer: pure, so that the rules stand in one place
 * and are tested without a browser.
 */

export interface IKey {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  isComposing: boolean;
  keyCode: number;
}

export interface IKeySituation {
  /** a menu with at least one row is open */
  menu: boolean;
  /** the text is empty, or is what recall put there and nobody changed it */
  recallable: boolean;
  /** recall is showing an earlier message */
  recalling: boolean;
  /** a turn of this conversation runs or is queued */
  running: boolean;
  /** a pending turn is being edited in the composer */
  editing: boolean;
  /** the user's choice: what sends, and what breaks the line */
  sendWith: SendWith;
}

export type SendWith = 'enter' | 'ctrl-enter';

export type KeyAction =
  | 'send'
  | 'send-now'
  | 'stop'
  | 'cancel-edit'
  | 'recall-earlier'
  | 'recall-later'
  | 'menu-next'
  | 'menu-previous'
  | 'menu-pick'
  | 'menu-close'
  | 'none';

/**
 * An input method is at work: Enter, Escape and the arrows belong to it. Chromium
 * says so by `isComposing`; Safari sends the Enter that ends a composition after
 * `compositionend`, marked only by the key code 229.
 */
export function isComposing(key: IKey): boolean {
  return key.isComposing || key.keyCode === 229;
}

function menuAction(key: IKey): KeyAction {
  switch (key.key) {
    case 'ArrowDown':
      return 'menu-next';
    case 'ArrowUp':
      return 'menu-previous';
    case 'Tab':
      return key.shiftKey ? 'none' : 'menu-pick';
    case 'Enter':
      return key.shiftKey || key.ctrlKey || key.metaKey ? 'none' : 'menu-pick';
    case 'Escape':
      return 'menu-close';
    default:
      return 'none';
  }
}

/** Each step up adds a modifier: new line, send, send now. */
function enterAction(key: IKey, sendWith: SendWith): KeyAction {
  const accel = key.ctrlKey || key.metaKey;
  if (key.altKey) {
    return 'none';
  }
  if (sendWith === 'enter') {
    return accel ? 'send-now' : key.shiftKey ? 'none' : 'send';
  }
  return accel ? (key.shiftKey ? 'send-now' : 'send') : 'none';
}

export function keyAction(key: IKey, now: IKeySituation): KeyAction {
  if (isComposing(key)) {
    return 'none';
  }
  if (now.menu && !key.altKey) {
    const action = menuAction(key);
    if (action !== 'none') {
      return action;
    }
  }
  if (key.key === 'Enter') {
    return enterAction(key, now.sendWith);
  }
  const plain = !key.shiftKey && !key.altKey && !key.ctrlKey && !key.metaKey;
  if (!plain) {
    return 'none';
  }
  if (key.key === 'Escape') {
    return now.editing ? 'cancel-edit' : now.running ? 'stop' : 'none';
  }
  if (key.key === 'ArrowUp' && now.recallable) {
    return 'recall-earlier';
  }
  if (key.key === 'ArrowDown' && now.recalling && now.recallable) {
    return 'recall-later';
  }
  return 'none';
}
