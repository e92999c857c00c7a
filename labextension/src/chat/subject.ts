/** Which cell a question was about, by what was attached to it. Pure. */
import type { IPill, ITurn, SentPart } from '../wire/types';
import type { Turns } from './tree';

export interface ISubject {
  path: string;
  /** its id: it may have moved since */
  cell: string;
  /** attached as a whole, some text of it, or merely the one the user was in */
  how: 'cell' | 'selection' | 'active';
}

/** The one cell that a part points at. */
export function cellOf(part: SentPart): string | undefined {
  switch (part.type) {
    case 'cells':
      return part.cells.length === 1 ? part.cells[0].id : undefined;
    case 'error':
      return part.cell.id;
    case 'selection':
      return part.cell_id;
    case 'notebook':
      return part.active_cell;
    default:
      return undefined;
  }
}

/** null: about none, or about several. */
export function subjectOf(turns: Turns, id: string): ISubject | null {
  const pills = asked(turns, id)?.pills ?? [];
  const pointed = subjects(pills.filter(pill => pill.kind !== 'notebook'));
  const notebooks = pills.filter(pill => pill.kind === 'notebook');
  const open = notebooks.filter(pill => pill.auto);
  const cells = new Set(pointed.map(each => `${each.path}#${each.cell}`));
  return cells.size === 1
    ? (pointed.find(each => each.how === 'selection') ?? pointed[0])
    : (subjects(open.length ? open : notebooks)[0] ?? null);
}

/** What a continued answer answers. */
function asked(turns: Turns, id: string): ITurn | undefined {
  let turn = turns.get(id);
  for (let left = turns.size; turn?.continue_of && left > 0; left--) {
    turn = turns.get(turn.continue_of);
  }
  return turn;
}

function subjects(pills: readonly IPill[]): ISubject[] {
  return pills.flatMap(({ kind, path, cell }) =>
    path && cell ? [{ path, cell, how: HOW[kind] ?? 'cell' }] : []
  );
}

const HOW: Partial<Record<string, ISubject['how']>> = {
  selection: 'selection',
  notebook: 'active'
};
