/**
 * The token meter's arithmetic: a receipt becomes a percentage, a colour and the
 * rows of the breakdown. Pure.
 */
import type { ContextPart, IReceipt, IReceiptPart } from '../wire/types';

export type MeterLevel = 'calm' | 'warm' | 'full';

/** From here on the meter is coloured, and from FULL on so that nobody misses it. */
export const WARM = 0.7;
export const FULL = 0.9;

export interface IMeterRow {
  kind: IReceiptPart['kind'] | 'answer' | 'free';
  label: string;
  tokens: number;
  leftOut: number;
  state: IReceiptPart['state'];
  /** what the row was made of; none: it is no part of the prompt */
  part?: IReceiptPart;
}

export interface IMeter {
  used: number;
  budget: number;
  /** 0 to 1 of the budget */
  share: number;
  level: MeterLevel;
  rows: IMeterRow[];
  exact: boolean;
  /** tokens that were cut or did not fit */
  leftOut: number;
  leftOutTurns: number;
}

export function meterOf(receipt: IReceipt): IMeter {
  const rows: IMeterRow[] = receipt.parts.map(part => ({
    kind: part.kind,
    label: part.label,
    tokens: part.tokens ?? 0,
    leftOut: part.left_out_tokens ?? 0,
    state: part.state,
    part
  }));
  const leftOut = rows.reduce((sum, row) => sum + row.leftOut, 0);
  const leftOutTurns = receipt.left_out_turns ?? 0;
  const used = receipt.prompt_tokens;
  const share = receipt.budget > 0 ? Math.min(1, used / receipt.budget) : 1;
  const full = share >= FULL;
  const warm = share >= WARM || leftOut > 0 || leftOutTurns > 0;
  return {
    used,
    budget: receipt.budget,
    share,
    level: full ? 'full' : warm ? 'warm' : 'calm',
    rows: [
      ...rows,
      freeRow('answer', receipt.max_tokens),
      freeRow('free', Math.max(0, receipt.budget - used))
    ],
    exact: receipt.exact ?? false,
    leftOut,
    leftOutTurns
  };
}

function freeRow(kind: 'answer' | 'free', tokens: number): IMeterRow {
  return { kind, label: '', tokens, leftOut: 0, state: 'sent' };
}

const NOT_ATTACHED: ReadonlySet<IReceiptPart['kind']> = new Set([
  'system',
  'rules',
  'summary',
  'history',
  'question'
]);

/** Of what was sent, the tokens that the user can take off. */
export function attachedTokens(receipt: IReceipt): number {
  return receipt.parts
    .filter(part => !NOT_ATTACHED.has(part.kind))
    .reduce((sum, part) => sum + (part.tokens ?? 0), 0);
}

/** 950, 1.2k, 34k, 1.3M: short enough for a pill. */
export function shortTokens(tokens: number): string {
  if (tokens < 1000) {
    return String(tokens);
  }
  const [value, unit] =
    tokens < 999_500 ? [tokens / 1000, 'k'] : [tokens / 1_000_000, 'M'];
  return `${value < 9.95 ? value.toFixed(1).replace(/\.0$/, '') : Math.round(value)}${unit}`;
}

/**
 * The receipt's row of each context part, by position: parts and rows stand in
 * the same order, but a row may be missing (nothing to say) or doubled.
 */
export function rowsOfParts(
  parts: readonly ContextPart[],
  receipt: IReceipt
): (IReceiptPart | null)[] {
  const left = receipt.parts.slice();
  return parts.map(part => {
    const path = part.type === 'image' ? '' : part.path;
    const at = left.findIndex(
      row =>
        row.kind === part.type &&
        (path === '' ? row.label === labelOfImage(part) : row.path === path)
    );
    // A picture of the workspace is attached as a file, and sent as a picture.
    const picture = left.findIndex(
      row =>
        part.type === 'file' &&
        row.kind === 'image' &&
        row.label === nameOf(path)
    );
    const fallback = left.findIndex(row => row.kind === part.type);
    const index = at >= 0 ? at : path === '' ? fallback : picture;
    return index >= 0 ? left.splice(index, 1)[0] : null;
  });
}

function nameOf(path: string): string {
  return path.split('/').pop() ?? path;
}

function labelOfImage(part: ContextPart): string {
  return part.type === 'image' ? part.name : '';
}
