/** What the store's tests stand on: a workspace server in memory. */
import { ApiError, type Api, type IRead, type IReadFrom } from '../../api';
import type {
  IConversation,
  IErrorInfo,
  ITurn,
  ITurnCreated,
  ITurnPatch,
  ITurnRequest,
  TurnEvent
} from '../../wire/types';
import type { IMemory } from '../memory';
import { isRunning } from '../tree';

/** A workspace server in memory: what the store asks of it and no more. */
export class Server {
  conversations = new Map<string, IConversation>();
  posted: ITurnRequest[] = [];
  patched: [string, object][] = [];
  stopped: string[] = [];
  /** the turns of the newest events response */
  followed: string[] = [];
  /** what the next request of each kind is refused with */
  refuses: Partial<Record<'post' | 'patch' | 'read', ApiError>> = {};
  down = false;
  /** called when a question comes, before it is taken */
  onPost: () => void = () => undefined;
  private emit = new Map<string, (event: TurnEvent) => void>();
  private known: ITurn | null = null;
  private serial = 0;
  private founded = 0;
  private readonly gates: Partial<Record<'post' | 'read', Promise<void>>> = {};

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

  /** What happened to a turn unseen. */
  change(id: string, to: Partial<ITurn>): void {
    Object.assign(this.findTurn(id), to);
  }

  /** An event of a turn that is being read. */
  say(id: string, event: TurnEvent): Promise<void> {
    this.emit.get(id)?.(event);
    return tick();
  }

  get api(): Api {
    const server = {
      scope: '/',
      status: async () => ({
        models: [{ id: 'm', context_length: 4096 }],
        policy: { features: {}, history: 'disk' }
      }),
      conversations: async () =>
        [...this.conversations.values()].map(each => ({
          ...each,
          turns: each.turns.length,
          running: each.turns.find(isRunning)?.id
        })),
      conversation: async (id: string) => {
        const found = this.find(id);
        await this.held('read');
        return found;
      },
      turn: async (id: string) => this.findTurn(id),
      stopTurn: async (id: string) => {
        this.stopped.push(id);
        await this.say(id, { type: 'finished', reason: 'stopped' });
      },
      patchTurn: async (_id: string, _patch: ITurnPatch) => {
        this.refuse('patch');
      },
      patchConversation: async (id: string, patch: object) => {
        this.patched.push([id, patch]);
      },
      deleteConversation: async (id: string) => {
        this.conversations.delete(id);
      },
      postTurn: async (request: ITurnRequest) => {
        this.onPost();
        await this.held('post');
        return this.post(request);
      },
      events: (from: IReadFrom[], signal: AbortSignal) =>
        this.events(from, signal)
    };
    return server as unknown as Api;
  }

  private newId(): string {
    this.founded += 1;
    return this.founded === 1 ? 'new' : `new${this.founded}`;
  }

  /** Requests of this kind wait until the answer is called. */
  hold(kind: 'post' | 'read'): () => Promise<void> {
    let open = () => undefined as void;
    this.gates[kind] = new Promise<void>(resolve => (open = resolve));
    return () => {
      delete this.gates[kind];
      open();
      return tick();
    };
  }

  private async held(kind: 'post' | 'read'): Promise<void> {
    await this.gates[kind];
  }

  private refuse(kind: 'post' | 'patch' | 'read'): void {
    const error = this.refuses[kind];
    delete this.refuses[kind];
    if (error) {
      throw error;
    }
  }

  private findTurn(id: string): ITurn {
    for (const { turns } of this.conversations.values()) {
      const found = turns.find(each => each.id === id);
      if (found) {
        return found;
      }
    }
    throw refusal(404, 'not_found');
  }

  private find(id: string): IConversation {
    this.refuse('read');
    const found = this.conversations.get(id);
    if (!found) {
      throw refusal(404, 'not_found');
    }
    return found;
  }

  /** The next question has been asked before: it is this turn. */
  answersAgain(id: string): void {
    this.known = this.findTurn(id);
  }

  private post(request: ITurnRequest): ITurnCreated {
    this.refuse('post');
    if (this.known) {
      const { id: turn_id, conversation_id, state } = this.known;
      return { turn_id, conversation_id, state };
    }
    if (this.down) {
      throw new ApiError(0, { code: 'network', message: 'down' });
    }
    this.posted.push(request);
    const id = `t${++this.serial}`;
    const conversation_id = request.conversation_id ?? this.newId();
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
    this.followed = from.map(each => each.id);
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

export function refusal(
  status: number,
  code: string,
  more: Partial<IErrorInfo> = {}
): ApiError {
  return new ApiError(status, { code, message: code, ...more });
}

export function turn(id: string, change: Partial<ITurn> = {}): ITurn {
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

export function memory(): IMemory & { kept: Map<string, string | null> } {
  const kept = new Map<string, string | null>();
  return {
    kept,
    get: name => kept.get(name) ?? null,
    set: (name, value) => kept.set(name, value)
  };
}

export const tick = () => new Promise<void>(resolve => setTimeout(resolve));
