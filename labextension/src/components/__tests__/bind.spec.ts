/** The composer's room on the real store; the server is in memory. */
import type { ITaken } from '../../chat/composer';
import { ChatStore } from '../../chat/store';
import { memory, Server, tick } from '../../chat/__tests__/server';
import { createComposer, type IComposerRoom } from '../composer/bind';

function question(text: string, conversation = ''): ITaken {
  return { conversation, text, items: [], attached: [] };
}

describe('the composer on the store', () => {
  let server: Server;
  let store: ChatStore;
  let room: IComposerRoom;
  beforeEach(() => {
    window.localStorage.clear();
    window.sessionStorage.clear();
    server = new Server();
    store = new ChatStore({
      api: server.api,
      memory: memory(),
      hidden: () => false
    });
    room = createComposer(store);
  });
  afterEach(() => {
    room.dispose();
    store.dispose();
  });

  it('stops nothing when it sends at once and nothing runs', async () => {
    await room.ask(question('one'), { now: true });
    expect(server.stopped).toEqual([]);
  });

  it('stops what ran before and not its own question when it sends at once', async () => {
    const first = await store.send({ text: 'one' });
    await tick();
    await room.ask(question('two', 'new'), { now: true });
    expect(server.stopped).toEqual([first]);
  });
});
