/**
 * What a card shows, and how it is read from a saved output. Pure.
 *
 * `display.py` in the kernel writes the mime bundle that `bundleToAnswer`
 * reads; the two are compared by tests/kernel/test_display.py.
 */

export const ANSWER_MIME = 'application/vnd.cellar.answer+json';

export type CardState =
  'streaming' | 'complete' | 'length' | 'stopped' | 'interrupted' | 'error';

const STATES: readonly string[] = [
  'complete',
  'length',
  'stopped',
  'interrupted',
  'error'
];

export type MimeBundle = Readonly<Record<string, unknown>>;

export interface IAnswer {
  id: string;
  model: string;
  format: string;
  state: CardState;
  /** Markdown; plain text when the format is `text` */
  text: string;
  reasoning: string;
  /** one line in place of the text that has not come yet */
  status: string;
  /** sentences in the kernel's language */
  notes: string[];
}

/** Whether the text is drawn as Markdown: while it streams, these formats are source. */
export function isMarkdown(answer: IAnswer): boolean {
  if (answer.format === 'text') {
    return false;
  }
  const source = answer.format === 'json' || answer.format === 'html';
  return !(source && answer.state === 'streaming');
}

/**
 * The answer of a saved output; its text stands in the Markdown beside it unless
 * they differ. Where our own part is damaged, what stands beside it is drawn.
 */
export function bundleToAnswer(data: MimeBundle): IAnswer | null {
  if (!(ANSWER_MIME in data)) {
    return null;
  }
  const found = data[ANSWER_MIME];
  const card = isRecord(found) ? found : {};
  const format =
    asText(card.format) || ('text/markdown' in data ? 'markdown' : 'text');
  const fallback = data[format === 'text' ? 'text/plain' : 'text/markdown'];
  const state = asText(card.state);
  return {
    id: asText(card.id),
    model: asText(card.model),
    format,
    state: STATES.includes(state) ? (state as CardState) : 'complete',
    text: asText(card.text) || asText(fallback),
    reasoning: '',
    status: '',
    notes: Array.isArray(card.notes) ? card.notes.map(asText) : []
  };
}

/** What a notebook keeps of an answer that its kernel could not finish. */
export function answerToBundle(answer: IAnswer): MimeBundle {
  const { id, model, format, state, notes, text } = answer;
  const card = { version: 1, id, model, format, state, notes, text };
  return { [ANSWER_MIME]: card, 'text/plain': text };
}

const FENCE =
  /^ {0,3}(`{3,}|~{3,})[^\n]*\n([\s\S]*?)(?:^ {0,3}\1[`~]*[ \t]*$|(?![\s\S]))/gm;

/** The code of an answer: all its fenced blocks, parted by an empty line; empty without one. */
export function answerToCode(answer: IAnswer): string {
  if (answer.format === 'text') {
    return '';
  }
  return [...answer.text.matchAll(FENCE)]
    .map(match => match[2].replace(/\n$/, ''))
    .join('\n\n');
}

/** Was this card of a bundle asked after that one? Cards of older versions do not tell when. */
export function isYounger(card: unknown, than: unknown): boolean {
  return isCard(card) && isCard(than) && card.id !== than.id
    ? (card.asked ?? 0) > (than.asked ?? 0)
    : false;
}

function isCard(value: unknown): value is { id: string; asked?: number } {
  return typeof value === 'object' && value !== null && 'id' in value;
}

/** Notebooks may hold a text as a list of lines. */
function asText(value: unknown): string {
  if (Array.isArray(value)) {
    return value.map(asText).join('');
  }
  return typeof value === 'string' ? value : '';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
