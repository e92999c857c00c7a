import { endedBetween } from '../attention';
import { HIDDEN_POLL } from '../reader';
import { onTheWay } from '../state';
import { ChatStore } from '../store';
import { waiting } from '../tree';
import { memory, refusal, Server, tick, turn } from './server';

function made(server: Server, remembered = memory()) {
  const store = new ChatStore({
    api: server.api,
    memory: remembered,
    hidden: () => false
  });
  return { store, remembered };
}

describe('ChatStore', () => {
  let server: Server;
  let store: ChatStore;
  beforeEach(() => {
    server = new Server();
    store = made(server).store;
  });
  afterEach(() => store.dispose());

  it('shows the question at once and takes it over when the server has it', async () => {
    const sent = store.send({ text: 'hello' });
    expect(store.getState().sending.map(each => each.text)).toEqual(['hello']);
    const id = await sent;
    expect(store.getState().sending).toEqual([]);
    expect(store.getState().head).toBe(id);
    expect(store.getState().conversationId).toBe('new');
  });

  it('rejects when the server did not take it, and nothing stands there', async () => {
    server.down = true;
    await expect(store.send({ text: 'hello' })).rejects.toThrow();
    expect(store.getState().turns.size).toBe(0);
    expect(store.getState().sending).toEqual([]);
  });

  it('keeps text out of the state until the turn ends', async () => {
    const id = await store.send({ text: 'hello' });
    const before = store.getState();
    await server.say(id, { type: 'text', delta: 'a' });
    await server.say(id, { type: 'text', delta: 'b' });
    expect(store.getState().turns).toBe(before.turns);
    expect(store.live(id)?.parts).toEqual([{ type: 'text', text: 'ab' }]);
    await server.say(id, { type: 'finished', reason: 'complete' });
    expect(store.getState().turns.get(id)).toMatchObject({
      state: 'complete',
      parts: [{ type: 'text', text: 'ab' }]
    });
    expect(store.live(id)).toBeNull();
  });

  it('begins with the text that a held turn has when it is read again', async () => {
    await store.send({ text: 'first' });
    const id = await store.send({ text: 'second' });
    await server.say(id, { type: 'pending', held: true });
    server.change(id, {
      state: 'running',
      parts: [{ type: 'text', text: 'already ' }],
      cursor: '7'
    });
    await store.reload();
    await server.say(id, { type: 'text', delta: 'said' });
    expect(store.live(id)?.parts).toEqual([
      { type: 'text', text: 'already said' }
    ]);
  });

  it('draws the last words before the panel knows of the end', async () => {
    const id = await store.send({ text: 'one' });
    await server.say(id, { type: 'text', delta: 'a' });
    const seen: unknown[] = [];
    const live = store.live(id);
    live?.subscribe(() =>
      seen.push([live.ended, store.getState().turns.get(id)?.state])
    );
    await server.say(id, { type: 'finished', reason: 'complete' });
    expect(seen).toEqual([[true, 'running']]);
    expect(store.getState().turns.get(id)?.state).toBe('complete');
  });

  it('lists what is asked meanwhile and shows it when it starts', async () => {
    const first = await store.send({ text: 'one' });
    const second = await store.send({ text: 'two' });
    expect(store.getState().head).toBe(first);
    expect(store.getState().turns.get(second)?.state).toBe('pending');
    await server.say(second, { type: 'started', model: 'm' });
    expect(store.getState().head).toBe(second);
  });

  it('lists what is asked meanwhile before the server has it', async () => {
    await store.send({ text: 'one' });
    const answer = server.hold('post');
    const sent = store.send({ text: 'two' });
    const { next, behind } = onTheWay(store.getState());
    expect(next).toBeNull();
    expect(behind.map(each => each.text)).toEqual(['two']);
    await answer();
    expect(waiting(store.getState().turns).map(each => each.id)).toEqual([
      await sent
    ]);
    expect(onTheWay(store.getState()).behind).toEqual([]);
  });

  it('shows the first of two questions asked at once, and lists the second', async () => {
    const answer = server.hold('post');
    const both = [store.send({ text: 'one' }), store.send({ text: 'two' })];
    const { next, behind } = onTheWay(store.getState());
    expect(next?.text).toBe('one');
    expect(behind.map(each => each.text)).toEqual(['two']);
    await answer();
    await Promise.all(both);
  });

  it('does not list what is on its way to another conversation', async () => {
    server.add(turn('x', { state: 'running' }));
    await store.open('c');
    const answer = server.hold('post');
    const sent = store.send({ text: 'two' });
    store.newConversation();
    expect(onTheWay(store.getState())).toEqual({ next: null, behind: [] });
    await answer();
    await sent;
  });

  it('does not list in a new conversation what is on its way to the one before', async () => {
    const answer = server.hold('post');
    const both = [store.send({ text: 'one' }), store.send({ text: 'two' })];
    store.newConversation();
    expect(onTheWay(store.getState())).toEqual({ next: null, behind: [] });
    await answer();
    await Promise.all(both);
  });

  it('shows the conversation of before after a reload, and reads on', async () => {
    server.add(
      turn('t', { conversation_id: 'c', state: 'running', cursor: '5' })
    );
    const remembered = memory();
    remembered.set('shown', 'c');
    store.dispose();
    store = made(server, remembered).store;
    await store.start();
    await tick();
    expect(store.getState().title).toBe('Title');
    await server.say('t', {
      type: 'snapshot',
      parts: [{ type: 'text', text: 'so far' }]
    });
    expect(store.live('t')?.parts).toEqual([{ type: 'text', text: 'so far' }]);
  });

  it('does not let a slow answer replace what was opened later', async () => {
    server.add(turn('x', { conversation_id: 'c' }), 'Slow');
    const opening = store.open('c');
    store.newConversation();
    await opening;
    expect(store.getState().conversationId).toBe('');
  });

  it('begins anew when the conversation shown was deleted elsewhere', async () => {
    server.add(turn('x', { conversation_id: 'c' }));
    await store.open('c');
    server.conversations.clear();
    await store.reload();
    expect(store.getState().conversationId).toBe('');
  });

  it('shows what another tab asked after the turn shown', async () => {
    server.add(turn('a', { created: 1 }));
    await store.open('c');
    server.add(turn('b', { created: 2, parent_id: 'a', state: 'running' }));
    await store.reload();
    expect(store.getState().head).toBe('b');
  });

  it('keeps the branch shown when another tab asks elsewhere', async () => {
    server.add(turn('a', { created: 1 }));
    await store.open('c');
    server.add(turn('b', { created: 2, state: 'running' }));
    await store.reload();
    expect(store.getState().head).toBe('a');
  });

  it('asks again in the same place', async () => {
    server.add(turn('x', { conversation_id: 'c', parent_id: 'w' }));
    await store.open('c');
    await store.regenerate('x');
    expect(server.posted[0]).toMatchObject({
      copy_of: 'x',
      parent_id: 'w',
      conversation_id: 'c'
    });
    expect(server.posted[0].text).toBeUndefined();
  });

  it('tells the server which branch is shown', async () => {
    server.add(turn('a', { created: 1 }));
    server.add(turn('b', { created: 2 }));
    await store.open('c');
    await store.showBranch('a');
    expect(store.getState().head).toBe('a');
    expect(server.patched).toEqual([['c', { head_id: 'a' }]]);
  });

  it('says what failed and lets go of it', async () => {
    await store.open('nowhere');
    expect(store.getState().notice?.code).toBe('not_found');
    store.dismissNotice();
    expect(store.getState().notice).toBeNull();
  });

  it('looks at the server again when an answer has ended', async () => {
    const id = await store.send({ text: 'hello' });
    const before = store.getState().status;
    await server.say(id, { type: 'finished', reason: 'complete' });
    await tick();
    expect(store.getState().status).not.toBe(before);
  });

  it('says that a restart of the server lost what was shown, and not that it was deleted', async () => {
    server.add(turn('a'));
    for (const why of ['', 'restarted']) {
      await store.open('c');
      server.refuses.read = refusal(404, 'not_found', { detail: { why } });
      await store.reload();
      expect(store.getState().conversationId).toBe('');
      expect(store.getState().notice?.detail?.why ?? '').toBe(why);
    }
  });

  it('keeps a turn that was asked while the conversation was read again', async () => {
    server.add(turn('a', { created: 1 }));
    await store.open('c');
    const answer = server.hold('read');
    const reading = store.reload();
    const id = await store.send({ text: 'new' });
    await answer();
    await reading;
    expect([...store.getState().turns.keys()]).toEqual(['a', id]);
    expect(store.getState().head).toBe(id);
  });

  it('rejects when the server does not take the edit of a waiting message', async () => {
    server.refuses.patch = refusal(409, 'conflict');
    await expect(store.editPending('t', 'edited')).rejects.toThrow('conflict');
  });

  it('makes one conversation of two questions asked at once in a new one', async () => {
    const answer = server.hold('post');
    const first = store.send({ text: 'one' });
    const second = store.send({ text: 'two' });
    await answer();
    await Promise.all([first, second]);
    expect(server.posted.map(each => each.conversation_id)).toEqual([
      undefined,
      'new'
    ]);
    expect([...store.getState().turns.keys()]).toEqual(['t1', 't2']);
  });

  it('makes two conversations when the second question is for another new one', async () => {
    const answer = server.hold('post');
    const first = store.send({ text: 'one' });
    store.newConversation();
    const second = store.send({ text: 'two' });
    await answer();
    await Promise.all([first, second]);
    expect([...server.conversations.keys()]).toEqual(['new', 'new2']);
    expect([...store.getState().turns.keys()]).toEqual([await second]);
  });

  it('founds with the second question when the first was refused', async () => {
    server.refuses.post = refusal(400, 'bad_request');
    const answer = server.hold('post');
    const first = expect(store.send({ text: 'one' })).rejects.toThrow();
    const second = store.send({ text: 'two' });
    await answer();
    await first;
    await second;
    expect(store.getState().conversationId).toBe('new');
  });

  it('asks in no other new conversation what waited for a refused first question', async () => {
    server.refuses.post = refusal(400, 'bad_request');
    const answer = server.hold('post');
    const first = expect(store.send({ text: 'one' })).rejects.toThrow();
    const second = store.send({ text: 'two' });
    const third = store.send({ text: 'three' });
    store.newConversation();
    const other = store.send({ text: 'other' });
    await answer();
    await Promise.all([first, second, third, other]);
    const asked = [...server.conversations.values()].map(({ turns }) =>
      turns.map(each => each.text)
    );
    expect(asked).toEqual([['other'], ['two', 'three']]);
    expect([...store.getState().turns.keys()]).toEqual([await other]);
  });

  it('says that the user is signed out when a question is refused for it, until the status says otherwise', async () => {
    server.refuses.post = refusal(403, 'signed_out');
    await expect(store.send({ text: 'one' })).rejects.toThrow('signed_out');
    expect(store.getState().statusError?.code).toBe('signed_out');
    await store.refreshStatus();
    expect(store.getState().statusError).toBeNull();
    store.notify(refusal(403, 'signed_out'));
    expect(store.getState().statusError?.code).toBe('signed_out');
    expect(store.getState().notice).toBeNull();
  });

  it('says that the server is away when a question does not reach it, until it is back', async () => {
    server.down = true;
    await expect(store.send({ text: 'one' })).rejects.toThrow();
    expect(store.getState().statusError?.code).toBe('network');
    server.down = false;
    await store.refreshStatus();
    expect(store.getState().statusError).toBeNull();
  });

  it('shows what was answered while nobody knew of it when its question is sent again', async () => {
    server.add(turn('x', { parts: [{ type: 'text', text: 'said' }] }));
    server.answersAgain('x');
    await store.send({ text: 'x', key: 'k' });
    await tick();
    expect(store.getState().turns.get('x')?.parts?.[0].text).toBe('said');
  });

  it('asks again once, however often it is clicked', async () => {
    server.add(turn('x'));
    await store.open('c');
    await Promise.all([store.regenerate('x'), store.regenerate('x')]);
    await store.regenerate('x');
    expect(server.posted).toHaveLength(1);
  });

  it('has the title as soon as the list has it', async () => {
    await store.send({ text: 'one' });
    await tick();
    expect(store.getState().title).toBe('Title');
  });

  it('asks the default model when the one remembered is gone', async () => {
    store.setModel('gone');
    await store.refreshStatus();
    await store.send({ text: 'hello' });
    store.setModel('m');
    await store.send({ text: 'hello' });
    expect(server.posted.map(each => each.model)).toEqual([undefined, 'm']);
  });

  it('shows no empty question while it goes on, asks again or compacts', async () => {
    server.add(turn('x', { state: 'length' }));
    await store.open('c');
    const shown: number[] = [];
    store.subscribe(() => shown.push(store.getState().sending.length));
    await store.continueTurn('x');
    await store.compact();
    expect(Math.max(...shown)).toBe(0);
  });

  it('puts a new question last also when the clock of the server is ahead', async () => {
    const ahead = Date.now() / 1000 + 3600;
    server.add(turn('a', { state: 'running', created: ahead }));
    server.add(turn('b', { state: 'pending', created: ahead + 1 }));
    await store.open('c');
    const id = await store.send({ text: 'last' });
    const { turns } = store.getState();
    expect(waiting(turns).map(each => each.id)).toEqual(['b', id]);
  });

  it('keeps the conversation shown when a proxy answers 404', async () => {
    server.add(turn('x'));
    await store.open('c');
    server.refuses.read = refusal(404, 'extension_missing');
    await store.reload();
    expect(store.getState().conversationId).toBe('c');
    expect(store.getState().turns.size).toBe(1);
  });

  it('follows no more turns than the server gives in one response', async () => {
    server.add(turn('r', { state: 'running' }));
    for (let i = 0; i < 40; i++) {
      server.add(turn(`p${i}`, { state: 'pending', created: i + 1 }));
    }
    await store.open('c');
    expect(server.followed).toEqual(['r', 'p0', 'p1', 'p2', 'p3']);
  });

  it('asks in the conversation that is being opened, not in the one before', async () => {
    server.add(turn('a', { conversation_id: 'b', created: 1 }));
    server.add(turn('x'));
    await store.open('c');
    const answer = server.hold('read');
    const opening = store.open('b');
    expect(store.getState()).toMatchObject({
      conversationId: 'b',
      opening: true
    });
    const id = await store.send({ text: 'hello' });
    await answer();
    await opening;
    expect(server.posted[0].conversation_id).toBe('b');
    expect([...store.getState().turns.keys()]).toEqual(['a', id]);
    expect(store.getState().opening).toBe(false);
  });

  it('shows the conversation of before when another cannot be opened', async () => {
    server.add(turn('x'));
    await store.open('c');
    server.refuses.read = refusal(503, 'network');
    await store.open('b');
    expect(store.getState()).toMatchObject({
      conversationId: 'c',
      opening: false,
      head: 'x'
    });
    expect(store.getState().statusError?.code).toBe('network');
  });

  it('opens the conversation of before as soon as the server is back', async () => {
    server.add(turn('x'));
    const remembered = memory();
    remembered.set('shown', 'c');
    store.dispose();
    store = made(server, remembered).store;
    await store.refreshStatus();
    server.refuses.read = refusal(503, 'network');
    await store.open('c', true);
    expect(store.getState().statusError?.code).toBe('network');
    await store.refreshStatus();
    expect(store.getState()).toMatchObject({
      conversationId: 'c',
      opening: false,
      head: 'x'
    });
  });

  it('asks for a turn that runs in a conversation not shown, and tells its end', async () => {
    server.add(turn('x', { state: 'running' }));
    await store.open('c');
    jest.useFakeTimers({ doNotFake: ['performance'] });
    const ended: string[] = [];
    let before = store.getState().elsewhere;
    store.subscribe(() => {
      const now = store.getState().elsewhere;
      endedBetween(before, now).forEach(each => ended.push(each.id));
      before = now;
    });
    store.newConversation();
    expect([...store.getState().elsewhere.keys()]).toEqual(['x']);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL);
    expect(ended).toEqual([]);
    server.conversations.clear();
    server.add(turn('x', { state: 'complete' }));
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL);
    jest.useRealTimers();
    expect(ended).toEqual(['x']);
    expect(store.getState().elsewhere.size).toBe(0);
  });

  it('asks for a turn that ran unseen when the page was loaded, and for the one behind it', async () => {
    server.add(turn('x', { state: 'running' }));
    server.add(turn('y', { state: 'pending', created: 1 }));
    jest.useFakeTimers({ doNotFake: ['performance'] });
    await store.start();
    await jest.advanceTimersByTimeAsync(0);
    expect([...store.getState().elsewhere.keys()]).toEqual(['x']);
    server.conversations.clear();
    server.add(turn('x'));
    server.add(turn('y', { state: 'running', created: 1 }));
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL);
    jest.useRealTimers();
    expect([...store.getState().elsewhere.keys()]).toEqual(['y']);
  });

  it('does not ask for what begins later in another tab: that one looks after it', async () => {
    await store.start();
    server.add(turn('x', { state: 'running' }));
    await store.refreshConversations();
    await tick();
    expect(store.getState().elsewhere.size).toBe(0);
  });

  it('asks for no turn twice when its conversation is shown again', async () => {
    server.add(turn('x', { state: 'running' }));
    await store.open('c');
    store.newConversation();
    await store.open('c');
    expect(store.getState().elsewhere.size).toBe(0);
    expect(store.getState().turns.has('x')).toBe(true);
  });
});
