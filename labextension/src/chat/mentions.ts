/**
 * `@` and `/` in the text being typed: where they begin, what was typed after
 * them, and what the text becomes when something is chosen.
 */

import type { IContextItem } from './tokens';

export interface ITrigger {
  kind: 'mention' | 'command';
  /** index of the `@` or `/` */
  start: number;
  /** what stands between it and the caret */
  query: string;
}

/** Characters after an `@` that may still be a name; a sentence is none. */
const LONGEST_MENTION = 80;

const BEFORE_MENTION = /[\s([{,;"'“‘]/;

/**
 * The trigger the caret stands in, if any. An address (a@b) is no mention. A name may
 * have spaces ("cell 15"): whether it is one tells only what is found (`isSpaced`).
 */
export function triggerAt(text: string, caret: number): ITrigger | null {
  const head = text.slice(0, caret);
  const command = /^\/([a-z]*)$/i.exec(head);
  if (command) {
    return { kind: 'command', start: 0, query: command[1] };
  }
  const start = head.lastIndexOf('@');
  const query = head.slice(start + 1);
  if (start < 0 || query.length > LONGEST_MENTION || /^\s|\n/.test(query)) {
    return null;
  }
  if (start > 0 && !BEFORE_MENTION.test(head[start - 1])) {
    return null;
  }
  return { kind: 'mention', start, query };
}

/** A mention with a space in it, or the sentence that goes on behind an `@`. */
export function isSpaced(query: string): boolean {
  return /\s/.test(query);
}

/** Whether a thing is what was typed with spaces: as it stands, not by scattered letters. */
export function answersTo(
  item: Pick<IContextItem, 'label' | 'path' | 'words'>,
  query: string
): boolean {
  const { label, path = '', words = '' } = item;
  return [label, path, words].some(name => isNamed(name, query));
}

export interface IEdited {
  text: string;
  caret: number;
}

/**
 * The text after a mention became a pill: inside a sentence its name stays, so
 * that the sentence can still be read ("compare a.csv with b.csv"); alone it goes.
 */
export function withMention(
  text: string,
  trigger: ITrigger,
  label: string
): IEdited {
  const before = text.slice(0, trigger.start);
  const after = text.slice(trigger.start + 1 + trigger.query.length);
  if (before.trim() === '') {
    const rest = before + after.replace(/^[ \t]+/, '');
    return { text: rest, caret: before.length };
  }
  const space = /^\s/.test(after) ? '' : ' ';
  const head = before + label + space;
  return {
    text: head + after,
    caret: head.length + (space === '' ? 1 : 0)
  };
}

/** The text after a command was chosen: `/fix ` and what stood behind it. */
export function withCommand(
  text: string,
  trigger: ITrigger,
  name: string
): IEdited {
  const after = text.slice(1 + trigger.query.length).replace(/^[ \t]+/, '');
  const head = `/${name} `;
  return { text: head + after, caret: head.length };
}

/**
 * How well a name matches what was typed: 0 not at all; a beginning beats a
 * word's beginning, that beats a place inside, that beats scattered letters.
 */
export function matchScore(name: string, query: string): number {
  if (query === '') {
    return 1;
  }
  const hay = name.toLowerCase();
  const needle = query.toLowerCase();
  const at = hay.indexOf(needle);
  if (at === 0) {
    return 4;
  }
  if (at > 0) {
    return /[^\p{L}\p{N}]/u.test(hay[at - 1]) ? 3 : 2;
  }
  let from = 0;
  for (const letter of needle) {
    from = hay.indexOf(letter, from) + 1;
    if (from === 0) {
      return 0;
    }
  }
  return 1;
}

/** Whether what was typed stands in the name as it is. */
export function isNamed(name: string, query: string): boolean {
  return name.toLowerCase().includes(query.toLowerCase());
}

/** The matching ones, best first; equals keep their order. */
export function bestMatches<T>(
  things: readonly T[],
  query: string,
  name: (thing: T) => string
): T[] {
  return things
    .map((thing, index) => ({
      thing,
      index,
      score: matchScore(name(thing), query)
    }))
    .filter(row => row.score > 0)
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .map(row => row.thing);
}
