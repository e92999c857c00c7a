/** What models write as maths: how it becomes Lab's, and what of it is left as it was written. */

/**
 * Models write `\(x\)` and `\[x\]`; Lab's Markdown knows `$x$` and `$$x$$`. Code
 * is left alone. `\[` counts only where it begins a line: elsewhere it is more
 * often an escaped bracket.
 */
const CODE = /(^[ >]*(`{3,}|~{3,})[\s\S]*?(?:^[ >]*\2|$(?![\s\S]))|`+[^`]+`+)/m;

export function dollarMaths(source: string): string {
  if (!/\\[([]/.test(source)) {
    return source;
  }
  const code = CODE.exec(source);
  if (!code) {
    return converted(source);
  }
  const end = code.index + code[0].length;
  return (
    converted(source.slice(0, code.index)) +
    code[0] +
    dollarMaths(source.slice(end))
  );
}

function converted(text: string): string {
  return text
    .replace(
      /\\\(([^\n]+?(?:\n[^\n]+?)*?)\\\)/g,
      (_, maths: string) => `$${maths.trim()}$`
    )
    .replace(
      /^([ >]*)\\\[([\s\S]+?)\\\]/gm,
      (_, margin: string, maths: string) => `${margin}$$${maths.trim()}$$`
    );
}

/**
 * One MathJax sets the maths of the whole page, and what one text defines holds
 * for all others, notebooks too. These are the commands that change something for
 * good (jupyter_ext/cellar_jupyter/kernel/published.py has the same).
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
