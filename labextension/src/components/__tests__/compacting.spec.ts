/** Where it is told that the conversation is summed up, on the real store. */
import { nullTranslator } from '@jupyterlab/translation';

import { ChatStore } from '../../chat/store';
import { Preview } from '../../chat/preview';
import { memory, Server, tick, turn } from '../../chat/__tests__/server';
import type { IReceipt } from '../../wire/types';
import {
  Compacting,
  compactingWords,
  newsIn,
  type CompactingNews
} from '../compacting';

const RECEIPT: IReceipt = {
  model: 'm',
  parts: [],
  prompt_tokens: 90,
  budget: 100,
  context_length: 150,
  max_tokens: 50
};

describe('summing up', () => {
  let server: Server;
  let store: ChatStore;
  let preview: Preview;
  let compacting: Compacting;
  let tokens: number;
  const told = (): CompactingNews =>
    newsIn(compacting.getState(), store.getState());
  const look = async (): Promise<void> => {
    preview.want({ text: '' }, [], 0);
    await tick();
    await tick();
  };

  beforeEach(async () => {
    server = new Server();
    store = new ChatStore({
      api: server.api,
      memory: memory(),
      hidden: () => false
    });
    tokens = 90;
    preview = new Preview(async () => ({ ...RECEIPT, prompt_tokens: tokens }));
    compacting = new Compacting(store, preview);
    server.add(turn('a', { created: 1 }));
    server.add(turn('b', { created: 2 }));
    await store.open('c');
    await look();
  });
  afterEach(() => store.dispose());

  async function sumUp(meanwhile: () => unknown = () => undefined) {
    const done = compacting.compact();
    await tick();
    expect(told()).toBe('running');
    await meanwhile();
    await server.say('t1', { type: 'finished', reason: 'complete' });
    await done;
    tokens = 20;
    await look();
  }

  it('tells what it brought on the branch that was summed up, and on no other', async () => {
    await sumUp();
    expect(told()).toEqual({ before: 90, after: 20 });
    await store.showBranch('a');
    expect(told()).toBeNull();
    await store.showBranch('t1');
    expect(told()).toEqual({ before: 90, after: 20 });
    store.newConversation();
    expect(told()).toBeNull();
  });

  it('does not take the figure of another branch for what it brought', async () => {
    await sumUp(() => store.showBranch('a'));
    expect(told()).toBeNull();
    await store.showBranch('t1');
    expect(told()).toBeNull();
  });

  it('claims no gain where earlier messages were left out before', () => {
    const trans = nullTranslator.load('cellar');
    expect(compactingWords(trans, { before: 20426, after: 3569 })).toBe(
      'Summed up: 20,426 → 3,569 tokens'
    );
    expect(compactingWords(trans, { before: 3485, after: 3530 })).toBe(
      'Summed up: earlier messages are there again, as a summary (3,530 tokens)'
    );
  });
});
