import { keyAction, type IKey, type IKeySituation } from '../keys';

const QUIET: IKeySituation = {
  menu: false,
  recallable: false,
  recalling: false,
  running: false,
  editing: false,
  sendWith: 'enter'
};

function press(key: string, change: Partial<IKey> = {}): IKey {
  return {
    key,
    shiftKey: false,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    isComposing: false,
    keyCode: 0,
    ...change
  };
}

describe('keys of the composer', () => {
  it('sends with Enter, breaks the line with Shift+Enter, sends now with Ctrl+Enter', () => {
    expect(keyAction(press('Enter'), QUIET)).toBe('send');
    expect(keyAction(press('Enter', { shiftKey: true }), QUIET)).toBe('none');
    expect(keyAction(press('Enter', { ctrlKey: true }), QUIET)).toBe(
      'send-now'
    );
    expect(keyAction(press('Enter', { metaKey: true }), QUIET)).toBe(
      'send-now'
    );
  });

  it('breaks the line with Enter when the user sends with Ctrl+Enter', () => {
    const now: IKeySituation = { ...QUIET, sendWith: 'ctrl-enter' };
    expect(keyAction(press('Enter'), now)).toBe('none');
    expect(keyAction(press('Enter', { ctrlKey: true }), now)).toBe('send');
    expect(
      keyAction(press('Enter', { ctrlKey: true, shiftKey: true }), now)
    ).toBe('send-now');
  });

  it('never sends, stops or picks while an input method composes', () => {
    const now = { ...QUIET, menu: true, running: true };
    for (const key of ['Enter', 'Escape', 'ArrowUp', 'Tab']) {
      expect(keyAction(press(key, { isComposing: true }), now)).toBe('none');
      expect(keyAction(press(key, { keyCode: 229 }), now)).toBe('none');
    }
  });

  it('gives Enter, Tab, Escape and the arrows to an open menu', () => {
    const now = { ...QUIET, menu: true, running: true, recallable: true };
    expect(keyAction(press('Enter'), now)).toBe('menu-pick');
    expect(keyAction(press('Tab'), now)).toBe('menu-pick');
    expect(keyAction(press('Escape'), now)).toBe('menu-close');
    expect(keyAction(press('ArrowDown'), now)).toBe('menu-next');
    expect(keyAction(press('ArrowUp'), now)).toBe('menu-previous');
    expect(keyAction(press('Enter', { shiftKey: true }), now)).toBe('none');
  });

  it('stops with Escape only while something runs, and leaves an edit first', () => {
    expect(keyAction(press('Escape'), QUIET)).toBe('none');
    expect(keyAction(press('Escape'), { ...QUIET, running: true })).toBe(
      'stop'
    );
    expect(
      keyAction(press('Escape'), { ...QUIET, running: true, editing: true })
    ).toBe('cancel-edit');
  });

  it('recalls with the arrows only where they have nothing else to do', () => {
    expect(keyAction(press('ArrowUp'), QUIET)).toBe('none');
    const empty = { ...QUIET, recallable: true };
    expect(keyAction(press('ArrowUp'), empty)).toBe('recall-earlier');
    expect(keyAction(press('ArrowDown'), empty)).toBe('none');
    expect(keyAction(press('ArrowDown'), { ...empty, recalling: true })).toBe(
      'recall-later'
    );
    expect(keyAction(press('ArrowUp', { shiftKey: true }), empty)).toBe('none');
  });
});
