/**
 * Long text is cut where it is read, before it travels: head and tail stay, the
 * number of characters left out is told. Never through a surrogate pair, because
 * half a pair is no text and the server would refuse it.
 */

export interface ICutText {
  text: string;
  /** characters left out */
  cut: number;
}

const LONE_SURROGATE =
  /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** How far from the limit a place to cut is looked for, in characters. */
const SNAP = 512;

/**
 * Where to cut, the best first: between lines, between the items of a list,
 * between words. Never inside of a word when it can be helped: secrets are masked
 * by the server, and half a secret looks like none.
 */
const GAPS = [/\n/g, /[,;]\s/g, /\s/g, /["',;&<>()[\]{}]/g];

/** The text without halves of surrogate pairs (a program may print them). */
export function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, '\uFFFD');
}

/**
 * At most about `limit` characters of the text; `headShare` of them from its
 * beginning. The gap is marked by a line with an ellipsis.
 */
export function cutText(
  text: string,
  limit: number,
  headShare = 2 / 3
): ICutText {
  if (text.length <= limit) {
    return { text: wellFormed(text), cut: 0 };
  }
  const headEnd = headEndOf(text, Math.floor(limit * headShare));
  const tailStart = tailStartOf(text, text.length - (limit - headEnd));
  return {
    text: wellFormed(
      `${text.slice(0, headEnd).trimEnd()}\n…\n${text.slice(tailStart)}`
    ),
    cut: tailStart - headEnd
  };
}

function headEndOf(text: string, near: number): number {
  const from = Math.max(0, near - SNAP);
  const window = text.slice(from, near + 2);
  for (const gap of GAPS) {
    const places = [...window.matchAll(gap)]
      .map(match => from + match.index)
      .filter(place => place <= near);
    if (places.length > 0) {
      return places[places.length - 1];
    }
  }
  return splitsPair(text, near) ? near - 1 : near;
}

function tailStartOf(text: string, near: number): number {
  const from = Math.max(0, near - 2);
  const window = text.slice(from, near + SNAP);
  for (const gap of GAPS) {
    for (const match of window.matchAll(gap)) {
      const start = from + match.index + match[0].length;
      if (start >= near) {
        return start;
      }
    }
  }
  return splitsPair(text, near) ? near + 1 : near;
}

function splitsPair(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1);
  const after = text.charCodeAt(at);
  return (
    before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff
  );
}

// Colours and links of terminals: CSI and OSC sequences.
const ANSI =
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)/g;

/** What a terminal would show, without colours. */
export function plainText(text: string): string {
  return text.includes('\u001b') ? text.replace(ANSI, '') : text;
}
