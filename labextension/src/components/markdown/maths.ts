/** The maths of an answer in the page: what of it is left as it was written (chat/dialect.ts says what is maths). */
import { DOLLAR } from '../../chat/dialect';

/** The dollars that are no maths; an element keeps each apart from what MathJax reads. */
export function putDollars(host: HTMLElement): void {
  if (!host.textContent?.includes(DOLLAR)) {
    return;
  }
  const page = host.ownerDocument;
  const walker = page.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) {
    texts.push(walker.currentNode as Text);
  }
  for (const text of texts) {
    const [first, ...rest] = text.data.split(DOLLAR);
    text.data = first;
    text.after(
      ...rest.flatMap(after => {
        const dollar = page.createElement('span');
        dollar.textContent = '$';
        return [dollar, after];
      })
    );
  }
}

/**
 * One MathJax sets the maths of the whole page, and what one text defines holds
 * for all others, notebooks too. These are the commands that change something for
 * good. The magics know the same: tests/contract/tex.json holds both to it.
 */
// prettier-ignore
export const DEFINITION = /\\(?:(?:[egx]?def|let|futurelet|global|definecolor|usetagform|mathtoolsset|require|setOptions|Newextarrow)(?![a-zA-Z])|(?:(?:re)?new|provide)(?:command|environment|tagform|columntype)|Declare)/;

/** Would setting the maths of this element define something? Asked of what MathJax reads: the text outside of code. */
export function definesCommands(host: HTMLElement): boolean {
  const texts = document.createTreeWalker(host, NodeFilter.SHOW_TEXT);
  let text = '';
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode as Text;
    text += parentElement?.closest('pre, code') ? ' ' : data;
  }
  return DEFINITION.test(text);
}
