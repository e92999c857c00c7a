/**
 * Draws Markdown that grows. Finished blocks are rendered once and stay; only the
 * open tail is drawn again: the first text at once, later text once per animation
 * frame while that is cheap, less often when it is not. An open code fence is
 * plain text that gets longer. Plain DOM: React never sees a token.
 */
import { renderMarkdown } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { labMarkdown } from '../../chat/dialect';
import { BlockSplitter, type IBlock } from '../../chat/splitter';
import { CodeFrame, frameCode, type ICodeWords, type Runs } from './code';
import { definesCommands, putDollars } from './maths';
import { frameTables } from './tables';
import { visible, type ISafeSanitizer } from './safe';

export interface IMarkdownKit {
  sanitizer: ISafeSanitizer;
  parser: IRenderMime.IMarkdownParser | null;
  typesetter: IRenderMime.ILatexTypesetter | null;
  words: ICodeWords & { definesCommands: string };
  /** of code blocks; left out: all of them */
  runs?: Runs;
}

/**
 * Drawing may use this share of the main thread: after a cost of c (layout and
 * paint included) it rests for c / SHARE - c. A fast machine draws each frame.
 */
const SHARE = 0.08;
/**
 * Milliseconds: text comes at least this often. When a drawing needs a longer
 * rest, what comes meanwhile is put behind the tail as it was written.
 */
const LONGEST_REST = 250;
/** Milliseconds of work before the page gets a chance to breathe. */
const BREATH = 24;

interface IDrawn {
  block: IBlock;
  host: HTMLElement;
}

export class MarkdownView {
  constructor(
    private readonly host: HTMLElement,
    private readonly kit: IMarkdownKit
  ) {}

  /** `open`: more will come. The text must begin with what was given before. */
  update(text: string, open: boolean): void {
    if (text === this.raw && open === this.open) {
      return;
    }
    // What was finished and goes on is split anew: its last block was closed.
    if (!text.startsWith(this.raw) || (this.finished && text !== this.raw)) {
      this.reset();
    }
    const first = this.raw === '';
    this.raw = text;
    this.open = open;
    if (first || !open) {
      this.draw();
    } else {
      this.soon();
    }
  }

  /** Resolves when everything that was given is on the page. */
  async settled(): Promise<void> {
    while (this.busy) {
      await this.busy;
    }
  }

  dispose(): void {
    this.disposed = true;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.host.replaceChildren();
  }

  private reset(): void {
    this.splitter = new BlockSplitter();
    this.drawn.forEach(({ host }) => host.remove());
    this.drawn = [];
    this.dropTail();
    this.raw = '';
    this.finished = false;
    this.epoch += 1;
  }

  private soon(): void {
    if (this.frame || this.timer) {
      return;
    }
    const wait = this.nextAt - performance.now();
    // In a frame, so that what layout and paint cost is seen right after it.
    const inFrame = () => {
      this.timer = 0;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    };
    if (wait > 20) {
      this.timer = setTimeout(inFrame, wait) as unknown as number;
    } else {
      inFrame();
    }
  }

  /** One drawing at a time; what came meanwhile is drawn after it, in one go. */
  private draw(): void {
    if (this.disposed) {
      return;
    }
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = this.drawAll().finally(() => {
      this.busy = null;
      if (this.again && !this.disposed) {
        this.again = false;
        if (this.open) {
          this.soon();
        } else {
          this.draw();
        }
      }
    });
  }

  private async drawAll(): Promise<void> {
    const epoch = this.epoch;
    const began = performance.now();
    if (!this.finished) {
      this.splitter.feed(visible(this.raw));
      if (!this.open) {
        this.splitter.finish();
        this.finished = true;
      }
    }
    const clock = { since: began };
    const blocks = this.splitter.blocks;
    for (let i = 0; i < blocks.length; i++) {
      if (this.drawn[i]?.block !== blocks[i]) {
        await this.drawBlock(blocks[i], i);
        await breathe(clock);
        if (epoch !== this.epoch || this.disposed) {
          return;
        }
      }
    }
    if (this.appendPlain()) {
      this.nextAt = performance.now() + LONGEST_REST;
      return;
    }
    await this.drawTail(epoch);
    const from = Math.max(began, clock.since);
    this.nextAt = performance.now() + LONGEST_REST;
    afterPaint(() => {
      const now = performance.now();
      const cost = now - from;
      const rest = cost / SHARE - cost;
      this.nextAt = now + Math.min(LONGEST_REST, rest);
      this.plainUntil = rest > LONGEST_REST ? now + rest : 0;
    });
  }

  private async drawBlock(block: IBlock, index: number): Promise<void> {
    const fresh = await this.rendered(block.source, true);
    const known = this.drawn[index];
    if (known) {
      known.host.replaceWith(fresh);
    } else if (this.tail) {
      // What was the tail is now this block.
      this.tail.replaceWith(fresh);
      this.dropTail();
    } else {
      this.host.append(fresh);
    }
    this.drawn[index] = { block, host: fresh };
  }

  /** The tail's new text as it was written, when drawing it would be too soon. */
  private appendPlain(): boolean {
    const { source } = this.splitter.tail;
    const { tail, tailSource } = this;
    if (
      !tail ||
      this.fence ||
      performance.now() >= this.plainUntil ||
      !source.startsWith(tailSource)
    ) {
      return false;
    }
    if (!this.plain) {
      this.plain = document.createTextNode('');
      lastWords(tail).append(this.plain);
    }
    this.plain.data = source.slice(tailSource.length);
    return true;
  }

  private async drawTail(epoch: number): Promise<void> {
    const { source, fence } = this.splitter.tail;
    if (source.trim() === '') {
      this.dropTail();
      return;
    }
    if (fence) {
      if (!this.fence) {
        this.dropTail();
        this.fence = new CodeFrame(
          fence.language,
          this.kit.words,
          this.kit.runs
        );
        this.tail = blockHost();
        this.tail.append(this.fence.node);
        this.host.append(this.tail);
      }
      this.fence.write(fence.code);
      return;
    }
    const fresh = await this.rendered(source, false);
    if (epoch !== this.epoch || this.disposed) {
      return;
    }
    if (this.tail) {
      this.tail.replaceWith(fresh);
    } else {
      this.host.append(fresh);
    }
    this.tail = fresh;
    this.tailSource = source;
    this.plain = null;
    this.fence = null;
  }

  private dropTail(): void {
    this.tail?.remove();
    this.tail = null;
    this.plain = null;
    this.fence = null;
  }

  private async rendered(source: string, final: boolean): Promise<HTMLElement> {
    const host = blockHost();
    const markdown = labMarkdown(source);
    await renderMarkdown({
      host,
      source: markdown,
      trusted: false,
      sanitizer: final ? this.kit.sanitizer : this.kit.sanitizer.draft,
      resolver: null,
      linkHandler: null,
      // Maths is set once, when its block is finished.
      shouldTypeset: final && /[$\\]/.test(markdown),
      latexTypesetter: { typeset: element => this.typeset(element) },
      markdownParser: this.kit.parser
    });
    putDollars(host);
    // Lab gives headings an anchor: in a chat it would lead out of the page's place.
    host
      .querySelectorAll('a.jp-InternalAnchorLink')
      .forEach(anchor => anchor.remove());
    frameCode(host, this.kit.words, final, this.kit.runs);
    frameTables(host);
    return host;
  }

  private typeset(host: HTMLElement): void | Promise<void> {
    if (!definesCommands(host)) {
      return this.kit.typesetter?.typeset(host);
    }
    host.title = this.kit.words.definesCommands;
  }

  private splitter = new BlockSplitter();
  private raw = '';
  private open = true;
  private finished = false;
  private drawn: IDrawn[] = [];
  private tail: HTMLElement | null = null;
  /** what the tail shows as Markdown, and what stands behind it as it was written */
  private tailSource = '';
  private plain: Text | null = null;
  private plainUntil = 0;
  private fence: CodeFrame | null = null;
  private busy: Promise<void> | null = null;
  private again = false;
  private frame = 0;
  private timer = 0;
  private nextAt = 0;
  private epoch = 0;
  private disposed = false;
}

function blockHost(): HTMLElement {
  const host = document.createElement('div');
  host.className = 'jp-Cellar-block';
  return host;
}

/** The element that holds the last words. */
function lastWords(host: HTMLElement): Element {
  const texts = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  let last: Element = host;
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode as Text;
    if (parentElement && data.trim() !== '') {
      last = parentElement;
    }
  }
  return last;
}

/** Calls back when the frame that is being made has been painted. */
function afterPaint(done: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = done;
  port2.postMessage(null);
}

/** Lets the page handle keys and paint when the work has lasted too long. */
async function breathe(clock: { since: number }): Promise<void> {
  if (performance.now() - clock.since < BREATH) {
    return;
  }
  await new Promise<void>(resolve => afterPaint(resolve));
  clock.since = performance.now();
}
