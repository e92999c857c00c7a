/**
 * HTML outputs as text for a model. Parsed in an inert document: nothing in it
 * runs, loads or is ever shown.
 */

/** Characters of HTML that are looked at; a rendered table can be megabytes. */
const MAX_HTML = 200_000;

const SKIPPED = 'script,style,template,noscript,svg,head,iframe';
const BLOCKS = new Set(
  'P DIV LI UL OL H1 H2 H3 H4 H5 H6 PRE SECTION ARTICLE DT DD BR TABLE'.split(
    ' '
  )
);

/** Tables become rows with ` | ` between the cells, everything else its words. */
export function htmlToText(html: string): string {
  const page = new DOMParser().parseFromString(
    html.slice(0, MAX_HTML),
    'text/html'
  );
  page.querySelectorAll(SKIPPED).forEach(node => node.remove());
  const lines: string[] = [''];
  write(page.body, lines);
  return lines
    .map(line => line.replace(/[^\S\n]+/g, ' ').trim())
    .filter(line => line !== '')
    .join('\n');
}

function write(node: Node, lines: string[]): void {
  node.childNodes.forEach(child => {
    if (child.nodeType === Node.TEXT_NODE) {
      lines[lines.length - 1] += (child.textContent ?? '').replace(/\s+/g, ' ');
    } else if (child instanceof HTMLTableRowElement) {
      lines.push(row(child), '');
    } else if (child.nodeType === Node.ELEMENT_NODE) {
      const block = BLOCKS.has(child.nodeName);
      if (block) {
        lines.push('');
      }
      write(child, lines);
      if (block) {
        lines.push('');
      }
    }
  });
}

function row(element: HTMLTableRowElement): string {
  return Array.from(element.cells)
    .map(cell => (cell.textContent ?? '').replace(/\s+/g, ' ').trim())
    .join(' | ');
}
