import { ApiError, type Api, type IRead, type IReadFrom } from '../../api';
import type {
  IConversation,
  ITurn,
  ITurnRequest,
  TurnEvent
} from '../../wire/types';
import type { IMemory } from '../memory';
import { ChatStore } from '../store';

/** A workspace server in memory: what the store asks of it and no more. */
class Server {
  conversations = new Map<string, IConversation>();
  posted: ITurnRequest[] = [];
  patched: [string, object][] = [];
  down = false;
  private emit = new Map<string, (event: TurnEvent) => void>();
  private serial = 0;

  add(turn: ITurn, title = 'Title'): void {
    const known = this.conversations.get(turn.conversation_id);
    this.conversations.set(turn.conversation_id, {
      id: turn.conversation_id,
      title,
      created: 0,
      updated: 0,
      turns: [...(known?.turns ?? []), turn],
      head_id: turn.id
    });
  }

  /** An event of a turn that is being read. */
  say(id: string, event: TurnEvent): Promise<void> {
    this.emit.get(id)?.(event);
    return tick();
  }

  get api(): Api {
    const server = {
      scope: '/',
      status: async () => ({}),
      conversations: async () =>
        [...this.conversations.values()].map(each => ({
          ...each,
          turns: each.turns.length
        })),
      conversation: async (id: string) => this.find(id),
      turn: async (id: string) => turn(id),
      stopTurn: async () => undefined,
      patchConversation: async (id: string, patch: object) => {
        this.patched.push([id, patch]);
      },
      deleteConversation: async (id: string) => {
        this.conversations.delete(id);
      },
      postTurn: async (request: ITurnRequest) => this.post(request),
      events: (from: IReadFrom[], signal: AbortSignal) =>
        this.events(from, signal)
    };
    return server as unknown as Api;
  }

  private find(id: string): IConversation {
    const found = this.conversations.get(id);
    if (!found) {
      throw new ApiError(404, { code: 'not_found', message: id });
    }
    return found;
  }

  private post(request: ITurnRequest) {
    if (this.down) {
      throw new ApiError(0, { code: 'network', message: 'down' });
    }
    this.posted.push(request);
    const id = `t${++this.serial}`;
    const conversation_id = request.conversation_id ?? 'new';
    const running = [
      ...(this.conversations.get(conversation_id)?.turns ?? [])
    ].some(other => other.state === 'running');
    const state = running ? ('pending' as const) : ('running' as const);
    this.add(
      turn(id, {
        conversation_id,
        state,
        text: request.text ?? '',
        created: this.serial
      })
    );
    return { turn_id: id, conversation_id, state };
  }

  private async *events(
    from: readonly IReadFrom[],
    signal: AbortSignal
  ): AsyncGenerator<IRead[]> {
    const queue: IRead[] = [];
    let wake = () => undefined as void;
    for (const { id } of from) {
      this.emit.set(id, event => {
        queue.push({ id, cursor: '1', event });
        wake();
      });
    }
    signal.addEventListener('abort', () => wake());
    while (!signal.aborted) {
      const next = queue.shift();
      if (next) {
        yield [next];
      } else {
        await new Promise<void>(resolve => (wake = resolve));
      }
    }
  }
}

function turn(id: string, change: Partial<ITurn> = {}): ITurn {
  return {
    id,
    conversation_id: 'c',
    parent_id: null,
    state: 'complete',
    mode: 'ask',
    text: id,
    created: 0,
    ...change
  };
}

function memory(): IMemory & { kept: Map<string, string | null> } {
  const kept = new Map<string, string | null>();
  return {
    kept,
    get: name => kept.get(name) ?? null,
    set: (name, value) => kept.set(name, value)
  };
}

const tick = () => new Promise<void>(resolve => setTimeout(resolve));

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

  it('lists what is asked meanwhile and shows it when it starts', async () => {
    const first = await store.send({ text: 'one' });
    const second = await store.send({ text: 'two' });
    expect(store.getState().head).toBe(first);
    expect(store.getState().turns.get(second)?.state).toBe('pending');
    await server.say(second, { type: 'started', model: 'm' });
    expect(store.getState().head).toBe(second);
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
});
