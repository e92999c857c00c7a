import { cutText, wellFormed } from '../cut';
import { htmlToText } from '../html';
import { MAX_IMAGE, readOutput, readOutputs } from '../output';

const LIMIT = 4000;

describe('long text', () => {
  it('keeps head and tail, and tells how many characters are left out', () => {
    const text = 'a'.repeat(5000) + 'b'.repeat(5000);
    const { text: kept, cut } = cutText(text, 1000);
    expect(kept.startsWith('aaaa')).toBe(true);
    expect(kept.endsWith('bbbb')).toBe(true);
    expect(kept.length - '\n…\n'.length + cut).toBe(10_000);
  });

  it('is cut at a line end where one is near', () => {
    const text = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join('\n');
    const { text: kept } = cutText(text, 1000);
    for (const line of kept.split('\n')) {
      expect(line).toMatch(/^(line \d+|…)$/);
    }
  });

  it.each([
    ['in a line of its own', 'a line of a log\n', '\n'],
    ['in one long line', "'NAME': '/opt/path', ", "', 'NEXT': '"],
    ['in JSON without a blank', '{"name":"/opt/path"},', '"},{"next":"']
  ])('leaves no part of a word at a cut: %s', (_, filler, behind) => {
    const word = 'kQ7vN2xW9bT4mZ8rL1cY6hJ3dF5gS0pA7uE2iO9n';
    const around = filler.repeat(Math.ceil(12_000 / filler.length));
    const text = (start: number) =>
      around.slice(0, start) + filler + word + behind + around;
    for (const edge of [2666, 12_000]) {
      for (let shift = -80; shift <= 80; shift++) {
        const whole = text(edge + shift);
        const { text: kept } = cutText(whole, 4000);
        const rest = kept.split(word).join('');
        expect(rest).not.toContain(word.slice(0, 6));
        expect(rest).not.toContain(word.slice(-6));
      }
    }
  });

  it('is cut in the middle of what has no gap at all', () => {
    const { text, cut } = cutText('x'.repeat(100_000), 4000);
    expect(text.length).toBe(4000 + '\n…\n'.length);
    expect(cut).toBe(96_000);
  });

  it('never parts a surrogate pair', () => {
    for (let shift = 0; shift < 4; shift++) {
      const { text } = cutText('x'.repeat(shift) + '😀'.repeat(900), 500);
      expect(text).toBe(wellFormed(text));
      expect(text).not.toContain('\uFFFD');
    }
  });

  it('loses halves of pairs that a program printed', () => {
    expect(cutText('a\ud83db', 10).text).toBe('a\uFFFDb');
  });
});

describe('an output', () => {
  it('of a stream keeps its name', () => {
    expect(
      readOutput({ output_type: 'stream', name: 'stderr', text: 'x' }, LIMIT)
    ).toEqual({ kind: 'stderr', text: 'x' });
  });

  it('prefers plain text to HTML', () => {
    const data = { 'text/plain': '   a\n0  1', 'text/html': '<table></table>' };
    expect(
      readOutput(
        {
          output_type: 'execute_result',
          execution_count: 1,
          metadata: {},
          data
        },
        LIMIT
      )
    ).toEqual({ kind: 'result', text: '   a\n0  1' });
  });

  it('reads a table where plain text only names an object', () => {
    const data = {
      'text/plain': '<pandas.io.formats.style.Styler at 0x7f00aa>',
      'text/html':
        '<style>td{}</style><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>'
    };
    expect(
      readOutput({ output_type: 'display_data', metadata: {}, data }, LIMIT)
        ?.text
    ).toBe('a | b\n1 | 2');
  });

  it('carries a picture without white space in its base64', () => {
    const data = { 'image/png': 'iVBO\nRw0K\n', 'text/plain': '<Figure>' };
    expect(
      readOutput({ output_type: 'display_data', metadata: {}, data }, LIMIT)
    ).toEqual({
      kind: 'display',
      text: '<Figure>',
      image: { mime: 'image/png', data: 'iVBORw0K' }
    });
  });

  it('only mentions a picture that is too large', () => {
    const data = { 'image/png': 'A'.repeat(MAX_IMAGE + 4) };
    const output = readOutput(
      { output_type: 'display_data', metadata: {}, data },
      LIMIT
    );
    expect(output?.image).toBeUndefined();
    expect(output?.text).toBe('[picture left out: image/png, 1.1 MB]');
  });

  it('of Plotly, Vega and widgets is a short note', () => {
    const note = (data: Record<string, unknown>) =>
      readOutput(
        { output_type: 'display_data', metadata: {}, data: data as never },
        LIMIT
      )?.text;
    expect(
      note({
        'application/vnd.plotly.v1+json': {
          data: [{ type: 'bar' }, { type: 'scatter' }],
          layout: { title: { text: 'Sales' } }
        },
        'text/html': '<div>'.repeat(1000)
      })
    ).toBe('[Plotly figure: 2 traces (bar, scatter), "Sales"]');
    expect(
      note({
        'application/vnd.vegalite.v5+json': {
          mark: { type: 'point' },
          encoding: { x: { field: 'hp' }, y: { field: 'mpg' } }
        },
        'text/plain': '<VegaLite 5 object>'
      })
    ).toBe('[Vega chart: point, x: hp, y: mpg]\n<VegaLite 5 object>');
    expect(
      note({
        'application/vnd.jupyter.widget-view+json': { model_id: 'x' },
        'text/plain': 'IntSlider(value=3)'
      })
    ).toBe('[interactive widget]\nIntSlider(value=3)');
  });

  it('that is an error ends with its name and message', () => {
    const output = readOutput(
      {
        output_type: 'error',
        ename: 'ValueError',
        evalue: 'no',
        traceback: ['Traceback', '  line 1']
      },
      LIMIT
    );
    expect(output).toEqual({
      kind: 'error',
      text: 'Traceback\n  line 1\nValueError: no'
    });
  });

  it('has no colours, and its last line is not said twice', () => {
    const output = readOutput(
      {
        output_type: 'error',
        ename: 'ValueError',
        evalue: 'no',
        traceback: ['\u001b[31mValueError\u001b[39m: no']
      },
      LIMIT
    );
    expect(output?.text).toBe('ValueError: no');
  });

  it('that is a long error keeps most of its end', () => {
    const traceback = Array.from({ length: 2000 }, (_, i) => `frame ${i}`);
    const output = readOutput(
      { output_type: 'error', ename: 'E', evalue: 'end', traceback },
      LIMIT
    );
    const [head, tail] = output?.text?.split('…') ?? [];
    expect(tail.length).toBeGreaterThan(head.length * 2);
    expect(output?.text?.endsWith('E: end')).toBe(true);
    expect(output?.cut).toBeGreaterThan(10_000);
  });

  it('of a kind nobody knows is left out', () => {
    expect(readOutput({ output_type: 'other' }, LIMIT)).toBeNull();
  });
});

describe('many outputs', () => {
  it('keep the first and the last ones', () => {
    const outputs = Array.from({ length: 500 }, (_, i) => ({
      output_type: 'stream',
      name: 'stdout',
      text: `${i}`
    }));
    const read = readOutputs(outputs, output => readOutput(output, LIMIT));
    expect(read.length).toBe(33);
    expect(read[0].text).toBe('0');
    expect(read[8].text).toBe('[468 outputs left out]');
    expect(read[32].text).toBe('499');
  });
});

describe('HTML', () => {
  it('runs nothing and keeps words', () => {
    const text = htmlToText(
      '<p>Hello <b>you</b></p><script>window.hacked = 1</script><ul><li>a</li><li>b</li></ul><img src="http://x/y">'
    );
    expect(text).toBe('Hello you\na\nb');
    expect('hacked' in window).toBe(false);
  });
});
