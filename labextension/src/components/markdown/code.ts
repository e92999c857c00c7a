/**
 * A code block of an answer with its bar: language, Copy, and what can be done
 * with it in the notebook. The buttons only carry `data-cellar-action`; one
 * listener on the transcript acts, and CSS hides what the target does not offer.
 */

export type CodeAction =
  | 'copy'
  | 'insertAbove'
  | 'insertBelow'
  | 'replace'
  | 'newCellAndRun'
  | 'newFile';

/** Labels in the user's language. */
export type ICodeWords = Record<CodeAction | 'copied' | 'code', string>;

/** Can code of this language be run where it would go now? */
export type Runs = (language: string) => boolean;

export const CODE_ACTIONS: readonly CodeAction[] = [
  'newCellAndRun',
  'insertBelow',
  'insertAbove',
  'replace',
  'newFile',
  'copy'
];

/** 16 x 16 outlines, drawn with the text's colour. */
const ICONS: Record<CodeAction, string> = {
  copy: 'M5.5 5.5V3.2a.7.7 0 0 1 .7-.7h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7h-2.3M3.2 5.5h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7H3.2a.7.7 0 0 1-.7-.7V6.2a.7.7 0 0 1 .7-.7Z',
  insertAbove: 'M2.5 9.5h11v4h-11ZM8 7V2M5.8 4.2 8 2l2.2 2.2',
  insertBelow: 'M2.5 2.5h11v4h-11ZM8 9v5M5.8 11.8 8 14l2.2-2.2',
  replace: 'M2.5 6.5h9L9 4M13.5 9.5h-9L7 12',
  newCellAndRun: 'M4.5 3v10l8-5Z',
  newFile:
    'M9 2.5H4.2a.7.7 0 0 0-.7.7v9.6c0 .4.3.7.7.7h7.6a.7.7 0 0 0 .7-.7V6ZM9 2.5V6h3.5M8 8v4M6 10h4'
};

const SVG = 'http://www.w3.org/2000/svg';

function icon(action: CodeAction): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[action]);
  svg.append(path);
  return svg;
}

/** A frame whose code gets longer (`write`) or was rendered by Lab (`wrap`). */
export class CodeFrame {
  constructor(
    readonly language: string,
    private readonly words: ICodeWords,
    runs?: Runs
  ) {
    this.node.className = 'jp-Cellar-code';
    this.node.dataset.language = language;
    markRuns(this.node, runs);
    const bar = document.createElement('div');
    bar.className = 'jp-Cellar-code-bar';
    const label = document.createElement('span');
    label.className = 'jp-Cellar-code-language';
    label.textContent = language || words.code;
    bar.append(label, this.buttons());
    this.node.append(bar);
  }

  readonly node = document.createElement('div');

  write(code: string): void {
    if (!this.text) {
      const pre = document.createElement('pre');
      const inner = document.createElement('code');
      this.text = document.createTextNode('');
      inner.append(this.text);
      pre.append(inner);
      this.node.append(pre);
    }
    const known = this.text.data;
    if (code.startsWith(known)) {
      this.text.appendData(code.slice(known.length));
    } else {
      this.text.data = code;
    }
  }

  wrap(pre: HTMLElement): void {
    pre.replaceWith(this.node);
    this.node.append(pre);
  }

  /** Lab's drawing stands where code stands; one that failed leaves its code. */
  wrapDiagram(diagram: HTMLElement, pre: HTMLElement): void {
    diagram.replaceWith(this.node);
    this.node.append(diagram.querySelector('img') ? diagram : pre);
  }

  private buttons(): HTMLElement {
    const group = document.createElement('div');
    group.className = 'jp-Cellar-code-actions';
    for (const action of CODE_ACTIONS) {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'jp-Cellar-code-button';
      button.dataset.cellarAction = action;
      button.title = this.words[action];
      button.setAttribute('aria-label', this.words[action]);
      button.append(icon(action));
      group.append(button);
    }
    return group;
  }

  private text: Text | null = null;
}

function markRuns(frame: HTMLElement, runs?: Runs): void {
  const can = runs?.(frame.dataset.language ?? '') ?? true;
  frame.classList.toggle('jp-mod-notRun', !can);
}

/** The notebook used last is another one: what runs there? */
export function markAllRuns(root: HTMLElement, runs?: Runs): void {
  root
    .querySelectorAll<HTMLElement>('.jp-Cellar-code')
    .forEach(frame => markRuns(frame, runs));
}

/** Puts a frame around each code block of a rendered host. */
export function frameCode(
  host: HTMLElement,
  words: ICodeWords,
  final: boolean,
  runs?: Runs
): void {
  for (const pre of Array.from(host.querySelectorAll('pre'))) {
    const code = pre.querySelector('code');
    if (!code) {
      continue;
    }
    const diagram = pre.closest<HTMLElement>('.jp-RenderedMermaid');
    if (diagram) {
      code.className = 'language-mermaid';
    }
    const language = /language-(\S+)/.exec(code.className)?.[1] ?? '';
    const frame = new CodeFrame(language, words, runs);
    frame.node.classList.toggle('jp-mod-open', !final);
    if (diagram) {
      frame.wrapDiagram(diagram, pre);
    } else {
      frame.wrap(pre);
    }
    // It scrolls by keyboard: a place with a name.
    pre.tabIndex = 0;
    pre.setAttribute('role', 'group');
    pre.setAttribute('aria-label', language || words.code);
  }
}

/** The code of the block this button belongs to. */
export function codeOf(button: Element): { code: string; language: string } {
  const frame = button.closest('.jp-Cellar-code');
  const code = frame?.querySelector('pre')?.textContent ?? '';
  const inner = frame?.querySelector('pre code');
  return {
    code: code.replace(/\n$/, ''),
    language: /language-(\S+)/.exec(inner?.className ?? '')?.[1] ?? ''
  };
}
