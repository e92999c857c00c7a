/** Which ended answers count as unseen, and until when. */
import type { ITurn } from '../../wire/types';
import { watchAttention } from '../attention';
import { turn } from './server';

describe('an answer that ends', () => {
  let turns: ITurn[];
  let seen: boolean;
  let shown: string;
  let conversations: string[];
  let marked: string[];
  let told: string[];
  let look: () => void;
  let stop: () => void;

  beforeEach(() => {
    turns = [turn('t', { conversation_id: 'c', state: 'running' })];
    seen = true;
    shown = 'c';
    conversations = ['c', 'other'];
    marked = [];
    told = [];
    stop = watchAttention({
      turns: () => new Map(turns.map(each => [each.id, each])),
      subscribe: listener => {
        look = listener;
        return () => undefined;
      },
      seen: () => seen,
      shown: () => shown,
      onSeen: () => () => undefined,
      conversations: () => conversations,
      mark: unseen => (marked = [...unseen.values()]),
      tell: each => told.push(each.id)
    });
  });
  const end = (): void => {
    turns = [turn('t', { conversation_id: 'c', state: 'complete' })];
    look();
  };

  it('is not marked where it is shown', () => {
    end();
    expect([marked, told]).toEqual([[], []]);
  });

  it('is marked in a conversation that is not shown until that is opened', () => {
    shown = 'other';
    end();
    look();
    expect([marked, told]).toEqual([['c'], ['t']]);
    shown = 'c';
    look();
    expect(marked).toEqual([]);
  });

  it('is marked in a page or panel that nobody sees until somebody does', () => {
    seen = false;
    end();
    expect(marked).toEqual(['c']);
    seen = true;
    look();
    expect(marked).toEqual([]);
  });

  it('is marked no more when its conversation is deleted, or nobody watches', () => {
    shown = 'other';
    end();
    conversations = ['other'];
    look();
    expect(marked).toEqual([]);
    stop();
  });
});
