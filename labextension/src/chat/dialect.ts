/**
 * What models write and Lab's Markdown reads otherwise, put so that both agree.
 *
 * Maths: models write `\(x\)` and `\[x\]`; Lab knows `$x$` and `$$x$$`. `\[` counts
 * only where it begins a line: elsewhere it is more often an escaped bracket. And
 * models write prices: a single `$` opens maths only before something that is no
 * space, and closes it only after something that is no space and not before a
 * digit (pandoc's rule). Any other dollar becomes `DOLLAR`, which neither Lab nor
 * MathJax pairs up; who draws puts it back.
 *
 * Footnotes: `[^1]: https://...` is a link's definition to Lab's parser, which
 * swallows it. They are shown as they were written, each a paragraph of its own.
 *
 * Code, addresses and tags are left alone. Pure.
 */

/** A noncharacter of Unicode: no text has it. */
export const DOLLAR = '\uFDD0';

const PIECES = new RegExp(
  [
    // left alone: fences, code spans, addresses, tags
    /(^[ >]*(`{3,}|~{3,})[\s\S]*?(?:^[ >]*\2|$(?![\s\S]))|`+[^`]+`+|https?:\/\/[^\s<>)\]]+|<\/?[a-z][^<>]*>)/,
    /\\\(((?:(?!\n[ \t]*\n)[\s\S])+?)\\\)/,
    /^([ >]*)\\\[([\s\S]+?)\\\]/,
    /^( {0,3})(?=\[\^[^\]\s]+\]:)/,
    /(\$\$[\s\S]+?\$\$)/,
    /(\$(?![\s$])(?:(?!\n[ >\t]*\n)(?:\\[\s\S]|[^\\$`]))*?(?<![\s\\])\$(?![\d$]))/,
    /\\?\$(?!\$)|\\[\s\S]/
  ]
    .map(piece => piece.source)
    .join('|'),
  'gim'
);

export function labMarkdown(source: string): string {
  if (!/\\[([]|\$|\[\^/.test(source)) {
    return source;
  }
  return source.replace(
    PIECES,
    (
      whole: string,
      alone?: string,
      _mark?: string,
      inline?: string,
      margin?: string,
      block?: string,
      note?: string,
      display?: string,
      dollars?: string
    ) => {
      if (inline !== undefined) {
        return `$${inline.trim()}$`;
      }
      if (block !== undefined) {
        return `${margin}$$${block.trim()}$$`;
      }
      if (note !== undefined) {
        return `\n${note}\\`;
      }
      return alone ?? display ?? dollars ?? whole.replace(/\\?\$/, DOLLAR);
    }
  );
}
