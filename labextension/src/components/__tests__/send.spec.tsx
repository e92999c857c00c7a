/** What becomes of a waiting message that is edited, with the hook as the composer uses it. */
import { nullTranslator } from '@jupyterlab/translation';
import { act, useSyncExternalStore } from 'react';
import { createRoot, type Root } from 'react-dom/client';

import { refusal, turn } from '../../chat/__tests__/server';
import { ComposerModel, type ITaken } from '../../chat/composer';
import { Drafts } from '../../chat/drafts';
import type { ITurn } from '../../wire/types';
import type { IComposerProps } from '../composer/props';
import { useSend, type ISend } from '../composer/useSend';

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

describe('sending while a waiting message is edited', () => {
  let model: ComposerModel;
  let root: Root;
  let sending: ISend;
  let refused: Error | null;
  let waiting: ITurn[];
  let asked: [string, boolean][];
  /** what the user does while the change is saved */
  let meanwhile: () => void;

  function Composer(): JSX.Element {
    const props = {
      trans: nullTranslator.load('cellar'),
      model,
      chat: { blocked: null, opening: false, pending: waiting },
      actions: {
        changePending: async () => {
          meanwhile();
          if (refused) {
            throw refused;
          }
        },
        holdPending: (of: ITurn, held: boolean) => {
          asked.push([of.id, held]);
          return Promise.resolve();
        }
      }
    } as unknown as IComposerProps;
    sending = useSend(props, model.getState());
    return <></>;
  }
  const draw = () => act(async () => root.render(<Composer />));
  const send = () => act(async () => sending.send(false));

  beforeEach(async () => {
    refused = null;
    asked = [];
    meanwhile = () => undefined;
    const message = turn('t', { state: 'pending', text: 'old words' });
    waiting = [message];
    model = new ComposerModel(new Drafts(null, '/'));
    model.setText('my draft');
    root = createRoot(document.createElement('div'));
    await draw();
    await act(async () => sending.edit.begin(message));
    model.setText('new words');
    await draw();
  });
  afterEach(() => act(async () => root.unmount()));

  it('puts the draft back when the change was taken', async () => {
    await send();
    expect(model.getState()).toMatchObject({ text: 'my draft', editing: null });
    expect(sending.error).toBeNull();
  });

  it('keeps what was typed while the change was saved', async () => {
    meanwhile = () => model.setText('new words and more');
    await send();
    expect(model.getState()).toMatchObject({
      text: 'new words and more\nmy draft',
      editing: null
    });
  });

  it('leaves another message alone that is edited when the change was saved', async () => {
    meanwhile = () => model.edit(turn('u', { text: 'other words' }));
    await send();
    expect(model.getState().text).toBe('other words');
    expect(model.getState().editing?.id).toBe('u');
  });

  it.each([
    [409, 'conflict'],
    [0, 'network']
  ])(
    'keeps what could not be saved (%i) while another message is edited',
    async (status, code) => {
      refused = refusal(status, code);
      const other = turn('u', { state: 'pending', text: 'other words' });
      waiting = [...waiting, other];
      meanwhile = () => model.edit(other);
      model.switchTo('c');
      model.edit(waiting[0]);
      model.setText('new words');
      await draw();
      await send();
      expect(model.getState().text).toBe('other words');
      model.endEdit();
      expect(model.getState().text).toBe('new words');
    }
  );

  it('makes a draft of what was typed when the message had started meanwhile', async () => {
    refused = refusal(409, 'conflict');
    await send();
    expect(model.getState()).toMatchObject({
      text: 'new words\nmy draft',
      editing: null
    });
    expect(sending.error).toContain('was sent or removed meanwhile');
  });

  it('holds the message while it is edited, and lets it go when that is cancelled', async () => {
    expect(asked).toEqual([['t', true]]);
    await act(async () => sending.edit.cancel());
    expect(asked).toEqual([
      ['t', true],
      ['t', false]
    ]);
    expect(model.getState()).toMatchObject({ text: 'my draft', editing: null });
  });

  it('lets one message go when another one is edited', async () => {
    const other = turn('u', { state: 'pending', text: 'other' });
    waiting = [...waiting, other];
    await act(async () => sending.edit.begin(other));
    expect(asked.slice(1)).toEqual([
      ['t', false],
      ['u', true]
    ]);
  });

  it('ends when the message no longer waits, and says so at once', async () => {
    waiting = [];
    await draw();
    await draw();
    expect(model.getState()).toMatchObject({
      text: 'new words\nmy draft',
      editing: null
    });
    expect(sending.error).toContain('was sent or removed meanwhile');
  });

  it('makes a draft of what was typed when the message was removed elsewhere', async () => {
    refused = refusal(404, 'not_found');
    await send();
    expect(model.getState()).toMatchObject({
      text: 'new words\nmy draft',
      editing: null
    });
  });

  it('goes on editing when the server could not be reached', async () => {
    refused = refusal(0, 'network');
    await send();
    expect(model.getState()).toMatchObject({ text: 'new words' });
    expect(model.getState().editing?.id).toBe('t');
    expect(sending.unsent).toBe(true);
  });
});

describe('what is nearly a command', () => {
  it('is sent by the second Enter, or once it is said to be text', async () => {
    const sent: string[] = [];
    const model = new ComposerModel(new Drafts(null, '/'));
    let sending!: ISend;
    const Composer = (): JSX.Element => {
      const state = useSyncExternalStore(model.subscribe, model.getState);
      const props = {
        trans: nullTranslator.load('cellar'),
        model,
        chat: { blocked: null, opening: false, pending: [] },
        actions: {
          send: ({ text }: { text: string }) => {
            sent.push(text);
            return Promise.resolve();
          }
        }
      } as unknown as IComposerProps;
      sending = useSend(props, state);
      return <></>;
    };
    const root = createRoot(document.createElement('div'));
    await act(async () => root.render(<Composer />));
    await act(async () => model.setText('/expalin'));
    await act(async () => sending.send(false));
    expect([sent, sending.doubted]).toEqual([[], true]);
    await act(async () => model.setText('/expalin this'));
    expect(sending.doubted).toBe(false);
    await act(async () => sending.send(false));
    await act(async () => sending.send(false));
    await act(async () => model.setText('/fixx'));
    await act(async () => sending.sendAsText());
    await act(async () => model.setText('/usrlocal is a folder'));
    await act(async () => sending.send(false));
    expect(sent).toEqual(['/expalin this', '/fixx', '/usrlocal is a folder']);
    await act(async () => root.unmount());
  });
});

describe('a question that did not get through', () => {
  let model: ComposerModel;
  let root: Root;
  let sending: ISend;
  let refused: Error | null;

  function Composer(): JSX.Element {
    const state = useSyncExternalStore(model.subscribe, model.getState);
    sending = useSend(
      {
        trans: nullTranslator.load('cellar'),
        model,
        chat: { blocked: null, opening: false, pending: [] },
        actions: {
          send: async (taken: ITaken) => {
            if (refused) {
              model.putBack(taken);
              throw refused;
            }
          }
        }
      } as unknown as IComposerProps,
      state
    );
    return <></>;
  }

  beforeEach(async () => {
    refused = refusal(0, 'network');
    model = new ComposerModel(new Drafts(null, '/'));
    model.setText('keep me');
    root = createRoot(document.createElement('div'));
    await act(async () => root.render(<Composer />));
    await act(async () => sending.send(false));
  });
  afterEach(() => act(async () => root.unmount()));

  it('is said, and stands in the box', () => {
    expect(model.getState().text).toBe('keep me');
    expect(sending).toMatchObject({ unsent: true, error: null });
  });

  it('is said until it is sent again', async () => {
    refused = null;
    await act(async () => sending.send(false));
    expect(sending.unsent).toBe(false);
    expect(model.getState().text).toBe('');
  });

  it('is said until it is edited', async () => {
    await act(async () => model.setText('keep me!'));
    await act(async () => model.setText('keep me'));
    expect(sending.unsent).toBe(false);
  });

  it('is said until that is dismissed', async () => {
    await act(async () => sending.clearError());
    expect(sending.unsent).toBe(false);
  });

  it('is said when the new conversation that it was typed in has got its id', async () => {
    await act(async () => model.carryTo('founded'));
    expect(sending).toMatchObject({ unsent: true });
    expect(model.getState().text).toBe('keep me');
  });

  it('is said in its own conversation only', async () => {
    await act(async () => model.switchTo('other'));
    expect(sending.unsent).toBe(false);
    await act(async () => model.switchTo(''));
    expect(sending.unsent).toBe(true);
  });
});
