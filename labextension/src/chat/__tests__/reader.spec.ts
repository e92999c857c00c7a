import { Crowded, type IRead, type IReadFrom } from '../../api';
import type { ITurn, TurnEvent } from '../../wire/types';
import {
  CROWDED_POLL,
  EventsReader,
  HIDDEN_POLL,
  SILENCE,
  type IReaderPorts
} from '../reader';
import { refusal } from './server';

function turn(id: string, change: Partial<ITurn> = {}): ITurn {
  return {
    id,
    conversation_id: 'c',
    parent_id: null,
    state: 'running',
    mode: 'ask',
    text: '',
    created: 0,
    ...change
  };
}

/** A response that the test writes into. */
class Line {
  constructor(
    readonly from: readonly IReadFrom[],
    readonly signal: AbortSignal
  ) {
    signal.addEventListener('abort', () => this.end());
  }

  open = true;

  /** Only a comment arrived. */
  ping(): void {
    this.reads.push([]);
    this.wake();
  }

  send(id: string, cursor: string, event: TurnEvent): void {
    this.reads.push([{ id, cursor, event }]);
    this.wake();
  }

  end(): void {
    this.open = false;
    this.wake();
  }

  async *read(): AsyncGenerator<IRead[]> {
    for (;;) {
      const next = this.reads.shift();
      if (next) {
        yield next;
      } else if (!this.open) {
        return;
      } else {
        await new Promise<void>(resolve => (this.wake = resolve));
      }
    }
  }

  private readonly reads: IRead[][] = [];
  private wake: () => void = () => undefined;
}

class World implements IReaderPorts {
  lines: Line[] = [];
  seen: [string, string][] = [];
  polled: string[] = [];
  connection: (number | null)[] = [];
  gone: string[] = [];
  signedOut = 0;
  isHidden = false;
  answer: (id: string) => ITurn = id => turn(id);

  events(from: readonly IReadFrom[], signal: AbortSignal) {
    const line = new Line(from, signal);
    this.lines.push(line);
    return line.read();
  }

  async turn(id: string): Promise<ITurn> {
    this.polled.push(id);
    return this.answer(id);
  }

  onEvents(id: string, events: readonly TurnEvent[]): void {
    events.forEach(event => this.seen.push([id, event.type]));
  }

  onTurn(_: ITurn): void {}

  onConnection(lostSince: number | null): void {
    this.connection.push(lostSince);
  }

  onGone(id: string): void {
    this.gone.push(id);
  }

  onSignedOut(): void {
    this.signedOut += 1;
  }

  hidden(): boolean {
    return this.isHidden;
  }

  get open(): Line[] {
    return this.lines.filter(line => line.open);
  }
}

/** Lets promises run; timers stay where they are. */
const settle = () => jest.advanceTimersByTimeAsync(0);

const DONE: TurnEvent = { type: 'finished', reason: 'complete' };

describe('EventsReader', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('reads all turns in one response', async () => {
    const world = new World();
    new EventsReader(world).follow([turn('a', { cursor: '5' }), turn('b')]);
    await settle();
    expect(world.open).toHaveLength(1);
    expect(world.lines[0].from).toEqual([
      { id: 'a', cursor: '5' },
      { id: 'b', cursor: '0' }
    ]);
  });

  it('closes the response and opens another when a turn is added', async () => {
    const world = new World();
    const reader = new EventsReader(world);
    reader.follow([turn('a')]);
    await settle();
    world.lines[0].send('a', '7', { type: 'text', delta: 'x' });
    await settle();
    reader.follow([turn('a'), turn('b')]);
    await settle();
    expect(world.open).toHaveLength(1);
    expect(world.open[0].from).toEqual([
      { id: 'a', cursor: '7' },
      { id: 'b', cursor: '0' }
    ]);
  });

  it('goes on from the last cursor when the response breaks', async () => {
    const world = new World();
    new EventsReader(world).follow([turn('a')]);
    await settle();
    world.lines[0].send('a', '9', { type: 'text', delta: 'x' });
    await settle();
    world.lines[0].end();
    await settle();
    expect(world.connection.pop()).not.toBeNull();
    await jest.advanceTimersByTimeAsync(400);
    expect(world.open[0].from).toEqual([{ id: 'a', cursor: '9' }]);
    world.open[0].send('a', '10', { type: 'text', delta: 'y' });
    await settle();
    expect(world.connection.pop()).toBeNull();
  });

  it('asks less and less often while nothing answers', async () => {
    const world = new World();
    world.events = (from, signal) => {
      const line = new Line(from, signal);
      line.end();
      world.lines.push(line);
      return line.read();
    };
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(world.lines.length).toBeGreaterThan(6);
    expect(world.lines.length).toBeLessThan(20);
  });

  it('reads no more when the turn has ended', async () => {
    const world = new World();
    new EventsReader(world).follow([turn('a')]);
    await settle();
    world.lines[0].send('a', '9', DONE);
    world.lines[0].end();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(world.lines).toHaveLength(1);
    expect(world.seen).toEqual([['a', 'finished']]);
  });

  it('closes the response of a hidden page and polls every 20 seconds', async () => {
    const world = new World();
    const reader = new EventsReader(world);
    reader.follow([turn('a')]);
    await settle();
    world.isHidden = true;
    reader.restart();
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL * 2 + 100);
    expect(world.open).toHaveLength(0);
    expect(world.polled).toEqual(['a', 'a']);
    world.isHidden = false;
    reader.restart();
    await settle();
    expect(world.open).toHaveLength(1);
  });

  it('goes on where the poll was when the page is shown again', async () => {
    const world = new World();
    const reader = new EventsReader(world);
    world.isHidden = true;
    world.answer = id => turn(id, { cursor: '70' });
    reader.follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL + 100);
    world.isHidden = false;
    reader.restart();
    await settle();
    expect(world.open[0].from).toEqual([{ id: 'a', cursor: '70' }]);
  });

  it('tells of a turn that the server does not know any more', async () => {
    const world = new World();
    world.isHidden = true;
    world.answer = () => {
      throw refusal(404, 'not_found');
    };
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL + 100);
    expect(world.gone).toEqual(['a']);
  });

  it('has one response when a poll ends after the page was shown again', async () => {
    const world = new World();
    const reader = new EventsReader(world);
    let fail = (): void => undefined;
    world.turn = () =>
      new Promise((_, reject) => (fail = () => reject(new Error('network'))));
    world.isHidden = true;
    reader.follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL);
    world.isHidden = false;
    reader.restart();
    await settle();
    fail();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(world.lines).toHaveLength(1);
  });

  it('drops what a poll says when the page reads again', async () => {
    const world = new World();
    const reader = new EventsReader(world);
    let answer = (_: ITurn): void => undefined;
    const polled: string[] = [];
    world.onTurn = (found: ITurn) => void polled.push(found.id);
    world.turn = () => new Promise(resolve => (answer = resolve));
    world.isHidden = true;
    reader.follow([turn('a', { cursor: '3' })]);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL);
    world.isHidden = false;
    reader.restart();
    await settle();
    world.lines[0].send('a', '9', { type: 'text', delta: 'x' });
    await settle();
    answer(turn('a', { cursor: '5' }));
    await settle();
    reader.restart();
    await settle();
    expect(polled).toEqual([]);
    expect(world.open[0].from).toEqual([{ id: 'a', cursor: '9' }]);
  });

  it('reads on when the 404 is that of a proxy', async () => {
    const world = new World();
    world.isHidden = true;
    world.answer = () => {
      throw refusal(404, 'extension_missing');
    };
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(HIDDEN_POLL * 2 + 100);
    expect(world.gone).toEqual([]);
    expect(world.polled).toEqual(['a', 'a']);
  });

  it('opens another response when nothing came for 30 seconds, not even a ping', async () => {
    const world = new World();
    new EventsReader(world).follow([turn('a')]);
    await settle();
    await jest.advanceTimersByTimeAsync(SILENCE - 5_000);
    world.lines[0].ping();
    await jest.advanceTimersByTimeAsync(SILENCE - 5_000);
    expect(world.lines).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(6_000);
    expect(world.lines).toHaveLength(2);
    expect(world.open).toHaveLength(1);
  });

  it('asks less and less often while each response is cut after its first byte', async () => {
    const world = new World();
    world.events = (from, signal) => {
      const line = new Line(from, signal);
      line.ping();
      line.end();
      world.lines.push(line);
      return line.read();
    };
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(world.lines.length).toBeLessThan(20);
  });

  it('asks every 2 seconds while enough other pages read, and reads when there is room', async () => {
    const world = new World();
    const { events } = world;
    let tries = 0;
    world.events = () => {
      tries += 1;
      throw new Crowded();
    };
    world.answer = id => turn(id, { cursor: '70' });
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(CROWDED_POLL * 10);
    expect(tries).toBeGreaterThan(7);
    expect(tries).toBeLessThan(15);
    expect(world.polled).toHaveLength(tries);
    expect(world.connection).toEqual([]);
    world.events = events;
    await jest.advanceTimersByTimeAsync(CROWDED_POLL * 1.25);
    expect(world.open[0].from).toEqual([{ id: 'a', cursor: '70' }]);
  });

  it('says that the user is signed out, and not that it connects again', async () => {
    const world = new World();
    world.events = () => {
      throw refusal(403, 'signed_out');
    };
    new EventsReader(world).follow([turn('a')]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(world.signedOut).toBe(1);
    expect(world.connection).toEqual([]);
  });
});
