import type { ITurn, TurnState } from '../../wire/types';
import {
  branchTo,
  goesOn,
  isBusy,
  leafOf,
  newest,
  siblings,
  waiting
} from '../tree';

function turns(
  ...rows: [id: string, parent: string | null, state?: TurnState][]
): Map<string, ITurn> {
  return new Map(
    rows.map(([id, parent_id, state = 'complete'], created) => [
      id,
      {
        id,
        parent_id,
        state,
        created,
        conversation_id: 'c',
        mode: 'ask',
        text: id
      }
    ])
  );
}

const ids = (list: readonly ITurn[]) => list.map(turn => turn.id);

describe('a conversation as a tree', () => {
  const tree = turns(
    ['a', null],
    ['b', 'a'],
    ['c', 'b'],
    ['b2', 'a'],
    ['c2', 'b2'],
    ['p', 'c2', 'pending'],
    ['h', 'p', 'held']
  );

  it('shows the branch that ends at the head', () => {
    expect(ids(branchTo(tree, 'c'))).toEqual(['a', 'b', 'c']);
    expect(ids(branchTo(tree, 'c2'))).toEqual(['a', 'b2', 'c2']);
  });

  it('leaves waiting turns out of the branch and lists them in order', () => {
    expect(ids(branchTo(tree, 'h'))).toEqual(['a', 'b2', 'c2']);
    expect(ids(waiting(tree))).toEqual(['p', 'h']);
  });

  it('knows which turns stand in one place', () => {
    expect(ids(siblings(tree, tree.get('b')!))).toEqual(['b', 'b2']);
    expect(ids(siblings(tree, tree.get('a')!))).toEqual(['a']);
  });

  it('goes to the newest end of a branch', () => {
    expect(leafOf(tree, 'b')).toBe('c');
    expect(leafOf(tree, 'a')).toBe('c2');
    expect(leafOf(tree, 'c')).toBe('c');
  });

  it('knows whether a branch goes on from a turn', () => {
    expect(goesOn(tree, 'c', 'b')).toBe(true);
    expect(goesOn(tree, 'c2', 'b')).toBe(false);
    expect(goesOn(tree, null, 'b')).toBe(false);
  });

  it('ends at a circle or a gap instead of running on', () => {
    const broken = turns(['x', 'y'], ['y', 'x'], ['z', 'nowhere']);
    expect(ids(branchTo(broken, 'x'))).toEqual(['y', 'x']);
    expect(ids(branchTo(broken, 'z'))).toEqual(['z']);
  });

  it('falls back on the newest turn', () => {
    expect(newest(tree)).toBe('c2');
    expect(newest(new Map())).toBeNull();
  });

  it('lets a question wait for what runs or waits, not for what is held', () => {
    expect(isBusy(turns(['a', null], ['b', 'a', 'queued']))).toBe(true);
    expect(isBusy(turns(['a', null], ['b', 'a', 'pending']))).toBe(true);
    expect(isBusy(turns(['a', null], ['b', 'a', 'held']))).toBe(false);
  });
});
