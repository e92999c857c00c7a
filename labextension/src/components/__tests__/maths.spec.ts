import { readFileSync } from 'fs';
import { join } from 'path';

import { DOLLAR } from '../../chat/dialect';
import { definesCommands, DEFINITION, putDollars } from '../markdown/maths';

/** The magics' tests read the same file. */
const TEX = JSON.parse(
  readFileSync(join(__dirname, '../../../../tests/contract/tex.json'), 'utf-8')
) as { defines: string[]; harmless: string[] };

function host(html: string): HTMLElement {
  const node = document.createElement('div');
  node.innerHTML = html;
  return node;
}

describe('definesCommands', () => {
  it.each([
    '$\\def\\alpha{x}$',
    '$\\de<wbr>f\\alpha{x}$',
    '<b>$</b>&#92;def\\alpha{x}$'
  ])('sees the definition in %s', html => {
    expect(definesCommands(host(html))).toBe(true);
  });

  it.each([
    '$\\delta + \\leq$',
    'The command <code>\\def</code> and $x$',
    '<pre>\\newcommand{\\R}{x}</pre>'
  ])('lets %s be drawn', html => {
    expect(definesCommands(host(html))).toBe(false);
  });

  it.each(TEX.defines)('knows that %s defines something', tex => {
    expect(tex).toMatch(DEFINITION);
  });

  it.each(TEX.harmless)('knows that %s defines nothing', tex => {
    expect(tex).not.toMatch(DEFINITION);
  });
});

describe('putDollars', () => {
  it('puts each dollar apart from what MathJax reads', () => {
    const node = host(`<p>${DOLLAR}5 and <b>${DOLLAR}6</b></p>`);
    putDollars(node);
    expect(node.innerHTML).toBe(
      '<p><span>$</span>5 and <b><span>$</span>6</b></p>'
    );
  });
});
