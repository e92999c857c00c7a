/**
 * Answers that go on with one another are drawn as one: a fence that the first
 * left open is closed by the second, and Copy gives the whole. Pure.
 */
import type { AnswerPart, ITurn } from '../../wire/types';

/** One part on the screen: text may come from several turns. */
export interface IShownPart {
  type: AnswerPart['type'];
  pieces: { turn: ITurn; index: number }[];
}

type PartsOf = (turn: ITurn) => readonly AnswerPart[];

/** For each turn of a branch the chain it stands in, first answer first. */
export function chainsOf(
  branch: readonly ITurn[]
): Map<string, readonly ITurn[]> {
  const chains = new Map<string, ITurn[]>();
  for (const turn of branch) {
    const before = turn.continue_of ? chains.get(turn.continue_of) : undefined;
    const chain = before ?? [];
    chain.push(turn);
    chains.set(turn.id, chain);
  }
  return chains;
}

/** The first text of a turn goes on with the last text before it. */
export function shownParts(
  chain: readonly ITurn[],
  partsOf: PartsOf
): IShownPart[] {
  const shown: IShownPart[] = [];
  for (const turn of chain) {
    let before =
      turn === chain[0]
        ? undefined
        : shown.filter(part => part.type === 'text').pop();
    partsOf(turn).forEach(({ type }, index) => {
      if (type === 'text' && before) {
        before.pieces.push({ turn, index });
        before = undefined;
      } else {
        shown.push({ type, pieces: [{ turn, index }] });
      }
    });
  }
  return shown;
}

export function textOf(part: IShownPart, partsOf: PartsOf): string {
  return part.pieces
    .map(({ turn, index }) => partsOf(turn)[index]?.text ?? '')
    .join('');
}

/** The answer without its reasoning, as Markdown. */
export function answerText(chain: readonly ITurn[]): string {
  const partsOf: PartsOf = turn => turn.parts ?? [];
  return shownParts(chain, partsOf)
    .filter(part => part.type === 'text')
    .map(part => textOf(part, partsOf))
    .join('\n\n');
}
