/** The composer's room on the real store; the server is in memory. */
import { errorInfo, requestKey } from '../../api';
import type { ITaken } from '../../chat/composer';
import { fileItem, READ_LIMIT } from '../../chat/items';
import { Outbox } from '../../chat/outbox';
import { ChatStore } from '../../chat/store';
import {
  memory,
  refusal,
  Server,
  tick,
  turn
} from '../../chat/__tests__/server';
import { createComposer, type IComposerRoom } from '../composer/bind';

function question(text: string, conversation = ''): ITaken {
  return { key: requestKey(), conversation, text, items: [], attached: [] };
}

function storeOf(server: Server): ChatStore {
  return new ChatStore({
    api: server.api,
    memory: memory(),
    hidden: () => false
  });
}

describe('the composer on the store', () => {
  let server: Server;
  let store: ChatStore;
  let room: IComposerRoom;
  beforeEach(() => {
    window.localStorage.clear();
    window.sessionStorage.clear();
    server = new Server();
    store = storeOf(server);
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

  it('takes what is typed meanwhile along into the conversation that a question founded', async () => {
    const answer = server.hold('post');
    room.model.setText('one');
    const asking = room.ask(room.model.take(), { now: false });
    room.model.setText('typed meanwhile');
    await answer();
    await asking;
    expect(room.model.getState()).toMatchObject({
      conversation: 'new',
      text: 'typed meanwhile'
    });
  });

  it('leaves the draft of a conversation that is opened while another is founded', async () => {
    server.add(turn('x', { conversation_id: 'c' }));
    await store.open('c');
    room.model.setText('draft of c');
    store.newConversation();
    const answer = server.hold('post');
    room.model.setText('one');
    const asking = room.ask(room.model.take(), { now: false });
    await tick();
    await store.open('c');
    await answer();
    await asking;
    expect(room.model.getState()).toMatchObject({
      conversation: 'c',
      text: 'draft of c'
    });
  });

  it('keeps what is typed when the conversation shown is deleted elsewhere', async () => {
    server.add(turn('x'));
    await store.open('c');
    room.model.setText('half a thought');
    server.conversations.clear();
    await store.reload();
    expect(room.model.getState()).toMatchObject({
      conversation: '',
      text: 'half a thought'
    });
  });

  it('keeps what is typed while the conversation is being opened', async () => {
    server.add(turn('x'));
    const answer = server.hold('read');
    const opening = store.open('c', true);
    room.model.setText('typed at once');
    await answer();
    await opening;
    expect(room.model.getState()).toMatchObject({
      conversation: 'c',
      text: 'typed at once'
    });
  });

  it('posts a question again with its key when the page was loaded before the answer came', async () => {
    server.hold('post');
    room.model.setText('one');
    void room.ask(room.model.take(), { now: false });
    await tick();
    const answer = server.hold('post');
    const next = storeOf(server);
    const later = createComposer(next);
    await answer();
    later.dispose();
    next.dispose();
    const unsent = new Outbox(window.sessionStorage, '/');
    expect(server.posted.map(each => each.text)).toEqual(['one']);
    expect(server.posted[0].request_key).toMatch(/^[0-9a-f]{32}$/);
    expect(unsent.all()).toEqual([]);
  });

  it('keeps a question in the moment it is posted', async () => {
    const kept: (string | undefined)[] = [];
    server.onPost = () =>
      queueMicrotask(() => {
        const [unsent] = new Outbox(window.sessionStorage, '/').all();
        kept.push(unsent.question?.text);
      });
    void room.ask(question('one'), { now: false });
    await tick();
    expect(kept).toEqual(['one']);
  });

  it('puts a question back that was never posted when the page was loaded', async () => {
    const slow = {
      ...fileItem('a.csv'),
      read: () => new Promise<null>(() => undefined)
    };
    room.model.setText('one');
    room.model.add([slow]);
    void room.ask(room.model.take(), { now: false });
    await tick();
    const later = createComposer(store);
    expect(later.model.getState().text).toBe('one');
    expect(later.model.getState().items[0].key).toBe('file:a.csv');
    later.dispose();
  });

  it('asks in no other new conversation what was still being read when that one was begun', async () => {
    const first = asksSlowly('one');
    store.newConversation();
    await room.ask(question('other'), { now: false });
    first.done();
    await first.asking;
    const asked = [...server.conversations.values()].map(({ turns }) =>
      turns.map(each => each.text)
    );
    expect(asked).toEqual([['other'], ['one']]);
    expect(store.getState().conversationId).toBe('new');
  });

  /** Asked with something that is read when `done` is called. */
  function asksSlowly(
    text: string,
    conversation = '',
    options = { now: false }
  ): { done(): void; asking: Promise<void> } {
    let done = (): void => undefined;
    const slow = {
      ...fileItem('a.csv'),
      read: () => new Promise<null>(resolve => (done = () => resolve(null)))
    };
    const taken = { ...question(text, conversation), attached: [slow] };
    return { asking: room.ask(taken, options), done: () => done() };
  }

  it('shows a question while what goes along with it is read, and posts them in the order asked', async () => {
    const first = asksSlowly('one');
    const second = room.ask(question('two'), { now: false });
    await tick();
    const shown = store.getState().sending.map(each => each.text);
    expect([shown, server.posted]).toEqual([['one', 'two'], []]);
    first.done();
    await Promise.all([first.asking, second]);
    expect(server.posted.map(each => each.text)).toEqual(['one', 'two']);
    expect(store.getState().sending).toEqual([]);
  });

  it('posts a question when the one before it has been taken', async () => {
    const answer = server.hold('post');
    const asking = ['one', 'two'].map(text =>
      room.ask(question(text, 'c'), { now: false })
    );
    let posts = 0;
    server.onPost = () => (posts += 1);
    await tick();
    expect(posts).toBe(1);
    await answer();
    await Promise.all(asking);
    expect(posts).toBe(2);
  });

  it('shows what was asked behind the first question in the conversation that this one founds', async () => {
    const first = asksSlowly('one');
    const second = asksSlowly('two');
    first.done();
    await first.asking;
    const { conversationId, sending } = store.getState();
    expect(sending).toMatchObject([{ text: 'two', conversationId }]);
    second.done();
    await second.asking;
    expect(server.posted[1]).toMatchObject({ conversation_id: 'new' });
  });

  it.each([
    ['fails', () => Promise.reject(new Error('gone mad'))],
    ['takes too long', () => new Promise<null>(() => undefined)]
  ])(
    'gives a question back whose thing to read %s, and asks what was typed before and behind it',
    async (_, read) => {
      jest.useFakeTimers({ doNotFake: ['queueMicrotask'] });
      const first = asksSlowly('one');
      room.model.setText('two');
      const taken = room.model.take();
      const bad = { ...fileItem('a.csv'), read };
      const refused = room
        .ask({ ...taken, items: [bad], attached: [bad] }, { now: false })
        .catch(errorInfo);
      const third = room.ask(question('three'), { now: false });
      await jest.advanceTimersByTimeAsync(READ_LIMIT - 1);
      expect(server.posted).toEqual([]);
      first.done();
      await jest.advanceTimersByTimeAsync(1);
      jest.useRealTimers();
      expect(await refused).toMatchObject({
        code: 'not_read',
        detail: { what: 'a.csv' }
      });
      await Promise.all([first.asking, third]);
      expect(server.posted.map(each => each.text)).toEqual(['one', 'three']);
      expect(room.model.getState()).toMatchObject({
        conversation: 'new',
        text: 'two',
        items: [{ key: 'file:a.csv' }]
      });
      expect(store.getState().sending).toEqual([]);
    }
  );

  it('gives a question back into a new conversation when its own is gone and no longer shown', async () => {
    server.add(turn('x', { state: 'complete' }));
    await store.open('c');
    const answer = server.hold('post');
    room.model.setText('one');
    const refused = room
      .ask(room.model.take(), { now: false })
      .catch(errorInfo);
    await tick();
    server.conversations.clear();
    server.refuses.post = refusal(404, 'not_found');
    await store.reload();
    await answer();
    expect(await refused).toMatchObject({ code: 'not_found' });
    expect(room.model.getState()).toMatchObject({
      conversation: '',
      text: 'one'
    });
  });

  it('stops what has begun while a question that goes first was read', async () => {
    server.add(turn('x', { state: 'complete' }));
    await store.open('c');
    const urgent = asksSlowly('urgent', 'c', { now: true });
    const begun = await store.send({ text: '', copyOf: 'x' });
    urgent.done();
    await urgent.asking;
    expect(server.stopped).toEqual([begun]);
  });

  it('asks for no other answer while a question is on its way', async () => {
    server.add(turn('x', { state: 'complete' }));
    await store.open('c');
    const first = asksSlowly('one', 'c');
    await store.regenerate('x');
    first.done();
    await first.asking;
    expect(server.posted.map(each => each.text)).toEqual(['one']);
  });

  it('gives what was asked behind a question back with it when no server is there, in its order', async () => {
    let posts = 0;
    server.onPost = () => (posts += 1);
    server.down = true;
    const refused = ['one', 'two', 'three'].map(text =>
      room.ask(question(text), { now: false }).catch(errorInfo)
    );
    room.model.setText('typed since');
    for (const each of refused) {
      expect(await each).toMatchObject({ code: 'network' });
    }
    expect(posts).toBe(1);
    expect(room.model.getState().text).toBe('one\ntwo\nthree\ntyped since');
    server.down = false;
    await room.ask(room.model.take(), { now: false });
    expect(server.posted).toHaveLength(1);
  });

  it('asks the model that was chosen when the question was typed', async () => {
    const first = asksSlowly('one');
    store.setModel('m');
    const second = room.ask(question('two'), { now: false });
    store.setModel(null);
    first.done();
    await Promise.all([first.asking, second]);
    expect(server.posted.map(each => each.model)).toEqual([undefined, 'm']);
  });

  it.each([
    ['read', 'is posted'],
    ['not read yet', 'goes into the draft']
  ])(
    'keeps a question that was %s for the conversation that the one before it founded: after a reload it %s there',
    async read => {
      const first = asksSlowly('one');
      const second = asksSlowly('two');
      second.asking.catch(() => undefined);
      if (read === 'read') {
        second.done();
      }
      await tick();
      server.onPost = () => {
        if (server.posted.length === 1) {
          server.hold('post');
        }
      };
      first.done();
      await first.asking;
      await tick();
      server.onPost = () => undefined;
      const answer = server.hold('post');
      const next = storeOf(server);
      const later = createComposer(next);
      await answer();
      later.model.switchTo('new');
      const there = server.conversations.get('new')?.turns.map(t => t.text);
      expect([there, later.model.getState().text]).toEqual(
        read === 'read' ? [['one', 'two'], ''] : [['one'], 'two']
      );
      later.dispose();
      next.dispose();
    }
  );

  it('keeps questions in the order asked, whichever was read first', async () => {
    asksSlowly('one').asking.catch(() => undefined);
    void room.ask(question('two'), { now: false });
    await tick();
    const kept = new Outbox(window.sessionStorage, '/').all();
    expect(kept.map(each => [each.text, each.question !== null])).toEqual([
      ['one', false],
      ['two', true]
    ]);
  });

  it('lets a question go that was refused once it is in the draft again', async () => {
    server.refuses.post = refusal(429, 'quota');
    room.model.setText('one');
    await room.ask(room.model.take(), { now: false }).catch(() => undefined);
    expect(new Outbox(window.sessionStorage, '/').all()).toEqual([]);
    const later = createComposer(store);
    expect(later.model.getState().text).toBe('one');
    later.dispose();
  });
});
