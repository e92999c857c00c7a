/**
 * Splits Markdown that is still being written into blocks that will not change
 * any more, and the open tail. Pure and incremental: each line is looked at once.
 *
 * Rendered one by one, the blocks must look like the whole rendered in one piece
 * (the golden corpus checks that). So a cut is made only between two top-level
 * blocks: never inside a list, table, fence, quote, HTML or `$$` block. Link
 * definitions are put before the blocks that use them; one that comes late
 * changes the blocks above it (`IBlock.source` is another string then).
 */

export interface IBlock {
  /** what to render: the definitions it uses, then its text */
  source: string;
}

export interface ITail {
  /** Markdown of the open block; '' when there is none */
  source: string;
  /** the tail is a top-level fence that is still open: draw it as plain text */
  fence: { language: string; code: string } | null;
}

interface IOpenFence {
  mark: string;
  language: string;
  /** where the code begins */
  start: number;
  top: boolean;
}

type Kind = 'none' | 'plain' | 'list' | 'quote' | 'indented';

/** Characters of an unfinished line that are enough to know what it begins. */
const ENOUGH = 14;
/** An HTML or maths block that never ends stops holding back the cut here. */
const PATIENCE = 20_000;

const FENCE = /^(\s*(?:(?:[-*+]|\d{1,9}[.)])\s+|>\s?)*)(`{3,}|~{3,})([^\n]*)$/;
const LIST = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;
/** Not of a footnote, which is text where it stands (dialect.ts). */
const DEFINITION = /^ {0,3}\[((?!\^)(?:[^[\]\\]|\\.)+)\]:\s*\S/;
const REFERENCE = /\[((?:[^[\]\\]|\\.)+)\]/g;
const BLOCK_TAG =
  /<(\/?)(address|article|aside|blockquote|center|details|div|dl|fieldset|figure|footer|form|header|main|nav|ol|p|pre|script|section|style|summary|table|tbody|td|tfoot|th|thead|tr|ul|li|dd|dt|textarea)\b[^>]*?(\/?)>/gi;

export class BlockSplitter {
  /** Finished blocks, in order. */
  get blocks(): readonly IBlock[] {
    return this.done.map(block => this.withDefinitions(block));
  }

  /** The whole text so far; it must begin with what was fed before. */
  feed(text: string): void {
    this.text = text;
    for (;;) {
      const end = text.indexOf('\n', this.scanned);
      if (end < 0) {
        break;
      }
      this.line(text.slice(this.scanned, end), this.scanned, end + 1);
      this.scanned = end + 1;
      this.peeked = false;
    }
    const rest = text.slice(this.scanned);
    if (!this.peeked && rest.length >= ENOUGH && !this.fence) {
      this.peeked = true;
      this.maybeCut(rest, this.scanned);
    }
  }

  /** Nothing follows: the tail becomes the last block. */
  finish(): void {
    const rest = this.text.slice(this.scanned);
    if (rest !== '') {
      this.line(rest, this.scanned, this.text.length);
      this.scanned = this.text.length;
    }
    this.cut(this.text.length);
  }

  get tail(): ITail {
    const raw = this.text.slice(this.start);
    const { fence } = this;
    if (fence?.top && this.fenceIsFirst) {
      return {
        source: raw,
        fence: {
          language: fence.language,
          code: this.text.slice(fence.start)
        }
      };
    }
    return { source: this.prefixed(raw), fence: null };
  }

  private line(line: string, start: number, end: number): void {
    if (this.fence) {
      this.insideFence(line, end);
      return;
    }
    if (line.trim() === '') {
      this.blank = true;
      return;
    }
    this.maybeCut(line, start);
    this.blank = false;
    const opening = FENCE.exec(line);
    if (opening && !(opening[2][0] === '`' && opening[3].includes('`'))) {
      this.openFence(opening, start, end);
      return;
    }
    if (this.kind === 'none') {
      this.kind = kindOf(line);
    }
    this.define(line);
    this.count(line);
  }

  private openFence(match: RegExpExecArray, start: number, end: number): void {
    const [, before, mark, info] = match;
    const top = before.length <= 3 && before.trim() === '';
    // A fence at the margin ends a list; a blank line before it is not needed.
    if (top && before.length < 2 && this.kind === 'list' && this.canCut()) {
      this.cut(start);
    }
    this.fenceIsFirst = top && this.text.slice(this.start, start).trim() === '';
    if (this.kind === 'none') {
      this.kind = top ? 'plain' : kindOf(before + 'x');
    }
    this.fence = {
      mark,
      language: info.trim().split(/\s+/)[0],
      start: end,
      top
    };
  }

  private insideFence(line: string, end: number): void {
    const { fence } = this;
    const trimmed = line.replace(/^[\s>]*/, '').trimEnd();
    const closes =
      fence &&
      trimmed.length >= fence.mark.length &&
      trimmed === fence.mark[0].repeat(trimmed.length);
    if (!closes) {
      return;
    }
    this.fence = null;
    this.blank = false;
    if (fence.top && this.kind === 'plain' && this.canCut()) {
      this.cut(end);
    }
  }

  /** `line` may be unfinished, but long enough to know. */
  private maybeCut(line: string, start: number): void {
    if (this.blank && this.kind !== 'none' && this.canCut()) {
      if (!this.belongs(line)) {
        this.cut(start);
      }
    }
  }

  /** After a blank line: does this line still belong to the open block? */
  private belongs(line: string): boolean {
    const indented = /^(?: {2,}|\t| \t)/.test(line);
    switch (this.kind) {
      case 'list':
        return indented || LIST.test(line);
      case 'quote':
        return /^ {0,3}>/.test(line);
      case 'indented':
        return indented;
      default:
        // Four spaces after a paragraph are code; alone they would be, too, but
        // a cut there would lose nothing and gain nothing.
        return false;
    }
  }

  private canCut(): boolean {
    return (
      (this.depth <= 0 && !this.comment && !this.math) ||
      this.scanned - this.start > PATIENCE
    );
  }

  private count(line: string): void {
    const plain = line.replace(/`[^`]*`/g, '');
    for (const match of plain.matchAll(BLOCK_TAG)) {
      if (match[3] === '') {
        this.depth += match[1] === '/' ? -1 : 1;
      }
    }
    this.depth = Math.max(0, this.depth);
    const opened = plain.lastIndexOf('<!--');
    const closed = plain.lastIndexOf('-->');
    if (opened >= 0 || closed >= 0) {
      this.comment = opened > closed;
    }
    if ((plain.match(/\$\$/g)?.length ?? 0) % 2 === 1) {
      this.math = !this.math;
    } else if (/\\\[\s*$/.test(plain)) {
      this.math = true;
    } else if (/\\\]/.test(plain)) {
      this.math = false;
    }
  }

  private define(line: string): void {
    const match = DEFINITION.exec(line);
    if (match) {
      const label = normal(match[1]);
      if (!this.definitions.has(label)) {
        this.definitions.set(label, line.trim());
      }
    }
  }

  private cut(end: number): void {
    const text = this.text.slice(this.start, end);
    if (text.trim() !== '') {
      this.done.push({ text, labels: labelsOf(text), seen: -1, block: null });
    }
    this.start = end;
    this.kind = 'none';
    this.blank = false;
    this.depth = 0;
    this.comment = false;
    this.math = false;
    this.fenceIsFirst = false;
  }

  /** The same object as long as nothing it uses was defined meanwhile. */
  private withDefinitions(block: IDone): IBlock {
    if (block.block && block.seen === this.definitions.size) {
      return block.block;
    }
    block.seen = this.definitions.size;
    const source = this.definitionsFor(block.labels) + block.text;
    if (block.block?.source !== source) {
      block.block = { source };
    }
    return block.block;
  }

  private prefixed(text: string): string {
    return this.definitions.size === 0
      ? text
      : this.definitionsFor(labelsOf(text)) + text;
  }

  private definitionsFor(labels: readonly string[]): string {
    const lines = labels.flatMap(label => this.definitions.get(label) ?? []);
    return lines.length ? lines.join('\n') + '\n\n' : '';
  }

  private text = '';
  private scanned = 0;
  private start = 0;
  private peeked = false;
  private kind: Kind = 'none';
  private blank = false;
  private depth = 0;
  private comment = false;
  private math = false;
  private fence: IOpenFence | null = null;
  private fenceIsFirst = false;
  private readonly done: IDone[] = [];
  private readonly definitions = new Map<string, string>();
}

interface IDone {
  text: string;
  labels: string[];
  /** how many definitions were known when `block` was made */
  seen: number;
  block: IBlock | null;
}

function kindOf(line: string): Kind {
  if (LIST.test(line)) {
    return 'list';
  }
  if (/^ {0,3}>/.test(line)) {
    return 'quote';
  }
  return /^(?: {4}| {0,3}\t)/.test(line) ? 'indented' : 'plain';
}

function labelsOf(text: string): string[] {
  const labels = new Set<string>();
  for (const match of text.matchAll(REFERENCE)) {
    labels.add(normal(match[1]));
  }
  return [...labels];
}

function normal(label: string): string {
  return label.trim().replace(/\s+/g, ' ').toLowerCase();
}
