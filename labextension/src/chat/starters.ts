/** What to begin with, derived from what is open. Pure. */
import type { ContextPart } from '../wire/types';
import type { IContextItem } from './tokens';

export type StarterName =
  | 'fix'
  | 'explain'
  | 'improve'
  | 'summarise'
  | 'next'
  | 'file'
  | 'plot'
  | 'begin'
  | 'help';

export interface IStarter {
  name: StarterName;
  /** attached when it is chosen, unless it is there by itself */
  items: readonly IContextItem[];
}

/** What the panel sees now. */
export interface ISight {
  document: IContextItem | null;
  /** cells with something in them; null: no notebook */
  cells: number | null;
  selection: IContextItem | null;
  error: IContextItem | null;
}

export function sightOf(
  automatic: readonly IContextItem[],
  error: IContextItem | null,
  part: ContextPart | null
): ISight {
  const document =
    automatic.find(item => item.kind === 'notebook' || item.kind === 'file') ??
    null;
  return {
    document,
    cells:
      part?.type === 'notebook'
        ? part.cells.filter(cell => (cell.source ?? '').trim() !== '').length
        : null,
    selection: automatic.find(item => item.kind === 'selection') ?? null,
    error
  };
}

/** Most useful first; four at most. */
export function startersFor(sight: ISight): IStarter[] {
  const { document, cells, selection, error } = sight;
  const starters: IStarter[] = [];
  const offer = (name: StarterName, items: IContextItem[] = []): void => {
    starters.push({ name, items });
  };
  if (error) {
    offer('fix', [error]);
  }
  if (selection) {
    offer('explain');
    offer('improve');
  }
  if (cells !== null && cells > 0) {
    offer('summarise');
    offer('next');
    offer('plot');
  } else if (cells === 0) {
    offer('begin');
  } else if (document) {
    offer('file');
  }
  if (!starters.length) {
    offer('begin');
  }
  offer('help');
  return starters.slice(0, 4);
}
