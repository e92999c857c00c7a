/**
 * Arrow-up through earlier messages, as a shell does it. Immutable: each step
 * answers a new position, or null when there is nothing in that direction.
 */

export interface IRecalled {
  /** 0 is the newest message; -1 is the empty composer again */
  position: number;
  text: string;
}

export const NOT_RECALLING: IRecalled = { position: -1, text: '' };

/** Newest first, without repeats that follow each other. */
export function recallList(texts: readonly string[]): string[] {
  const list: string[] = [];
  for (const text of [...texts].reverse()) {
    if (text.trim() !== '' && text !== list[list.length - 1]) {
      list.push(text);
    }
  }
  return list;
}

export function recallEarlier(
  list: readonly string[],
  from: IRecalled
): IRecalled | null {
  const position = from.position + 1;
  return position < list.length ? { position, text: list[position] } : null;
}

export function recallLater(
  list: readonly string[],
  from: IRecalled
): IRecalled | null {
  if (from.position < 0) {
    return null;
  }
  const position = from.position - 1;
  return position < 0 ? NOT_RECALLING : { position, text: list[position] };
}
