/**
 * What "Replace" means: the cell that the question was about, by its id, wherever it
 * stands now; some text of it when that is selected. Where this is not certain the user
 * is asked, so that no other cell is lost. Pure.
 */
import type { ISubject } from '../chat/subject';

export type Spot =
  /** the active cell */
  | 'here'
  /** what is selected in the active cell */
  | 'selection'
  /** the cell that the question was about, where it is not the active one */
  | 'asked'
  /** nothing: a new cell */
  | 'below';

export type Doubt =
  /** its notebook is there, the cell is not */
  | 'gone'
  | 'closed'
  | 'locked'
  /** the user was in another cell when this was asked */
  | 'moved_on'
  /** text is selected in another cell */
  | 'selected_elsewhere'
  /** it was about some text of the cell, which is selected no more */
  | 'unselected';

export interface ISituation {
  /** how the question was about a cell; null: it was about none */
  how: ISubject['how'] | null;
  /** where that cell is; 'here': it is the active one */
  asked: 'here' | 'elsewhere' | 'gone' | 'closed' | 'locked';
  /** the active cell has nothing to lose */
  empty: boolean;
  selected: boolean;
}

/** The first of several is what is offered first. */
export type Decision = { spot: Spot } | { doubt: Doubt; spots: Spot[] };

export function decide(now: ISituation): Decision {
  const { how, asked, empty, selected } = now;
  if (how === null || asked === 'here') {
    return how === 'selection' && !selected
      ? { doubt: 'unselected', spots: ['below', 'here'] }
      : { spot: selected ? 'selection' : 'here' };
  }
  if (how === 'active' && (selected || empty)) {
    return { spot: selected ? 'selection' : 'here' };
  }
  if (asked !== 'elsewhere') {
    const other: Spot = selected ? 'selection' : 'here';
    return { doubt: asked, spots: ['below', other] };
  }
  if (how === 'active') {
    return { doubt: 'moved_on', spots: ['asked', 'here'] };
  }
  if (selected) {
    return { doubt: 'selected_elsewhere', spots: ['asked', 'selection'] };
  }
  return how === 'selection'
    ? { doubt: 'unselected', spots: ['below', 'asked', 'here'] }
    : { spot: 'asked' };
}
