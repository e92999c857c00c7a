/** A conversation is a tree of turns; what is shown is one branch. Pure. */
import type { ITurn } from '../wire/types';

export type Turns = ReadonlyMap<string, ITurn>;

export function isWaiting(turn: ITurn): boolean {
  return turn.state === 'pending' || turn.state === 'held';
}

export function isRunning(turn: ITurn): boolean {
  return turn.state === 'running' || turn.state === 'queued';
}

/** From the first turn to `head`, waiting ones left out. */
export function branchTo(turns: Turns, head: string | null): ITurn[] {
  const branch: ITurn[] = [];
  const seen = new Set<string>();
  for (let id = head; id !== null && !seen.has(id);) {
    seen.add(id);
    const turn = turns.get(id);
    if (!turn) {
      break;
    }
    if (!isWaiting(turn)) {
      branch.push(turn);
    }
    id = turn.parent_id;
  }
  return branch.reverse();
}

/** The turns that stand where this one stands, oldest first. */
export function siblings(turns: Turns, turn: ITurn): ITurn[] {
  return [...turns.values()]
    .filter(other => other.parent_id === turn.parent_id && !isWaiting(other))
    .sort((a, b) => a.created - b.created);
}

/** The end of the branch through this turn: the newest child each time. */
export function leafOf(turns: Turns, id: string): string {
  const children = new Map<string, ITurn>();
  for (const turn of turns.values()) {
    const best = turn.parent_id && children.get(turn.parent_id);
    if (turn.parent_id && !isWaiting(turn)) {
      if (!best || best.created <= turn.created) {
        children.set(turn.parent_id, turn);
      }
    }
  }
  for (let next = children.get(id); next; next = children.get(id)) {
    id = next.id;
  }
  return id;
}

/** Does the branch that ends at `id` run through `earlier`? */
export function goesOn(
  turns: Turns,
  id: string | null | undefined,
  earlier: string
): boolean {
  const seen = new Set<string>();
  while (id && !seen.has(id)) {
    if (id === earlier) {
      return true;
    }
    seen.add(id);
    id = turns.get(id)?.parent_id;
  }
  return false;
}

/** The next question will wait: the server's own rule. Held ones stand in nobody's way. */
export function isBusy(turns: Turns): boolean {
  return [...turns.values()].some(
    turn => isRunning(turn) || turn.state === 'pending'
  );
}

/** What waits for the running turn, in the order it will be asked. */
export function waiting(turns: Turns): ITurn[] {
  return [...turns.values()]
    .filter(isWaiting)
    .sort((a, b) => a.created - b.created);
}

export function newest(turns: Turns): string | null {
  let best: ITurn | null = null;
  for (const turn of turns.values()) {
    if (!isWaiting(turn) && (!best || turn.created >= best.created)) {
      best = turn;
    }
  }
  return best?.id ?? null;
}

/** The waiting turn after which the next question is asked. */
export function lastInLine(turns: Turns): string | null {
  return waiting(turns).pop()?.id ?? null;
}

/**
 * The end of the branch to show. Where the branch shown grew meanwhile (a waiting turn
 * started, another tab asked), its new end `newer`; another branch is not switched to.
 */
export function headToShow(
  turns: Turns,
  head: string | null,
  newer: string | null | undefined
): string | null {
  const kept = head && turns.has(head) && !goesOn(turns, newer, head);
  const wanted = kept ? head : newer;
  return wanted ? settledHead(turns, wanted) : newest(turns);
}

/** A branch that ends in waiting turns is shown to the turn before them. */
function settledHead(turns: Turns, head: string): string | null {
  let turn = turns.get(head);
  while (turn && isWaiting(turn) && turn.parent_id !== null) {
    turn = turns.get(turn.parent_id);
  }
  return turn?.id ?? newest(turns);
}
