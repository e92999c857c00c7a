import { safeHTML, visible } from '../markdown/safe';

const words = { picture: (address: string) => `not loaded: ${address}` };
const safe = (html: string) => safeHTML(html, words);

describe('safeHTML', () => {
  it.each([
    '<script>alert(1)</script>',
    '<style>*{display:none}</style>',
    '<iframe src="/lab"></iframe>',
    '<svg onload="alert(1)"><script>1</script></svg>',
    '<form action="/logout"><button>go</button></form>',
    '<video src="http://x.example/a.mp4"></video>',
    '<input type="text" value="x">'
  ])('drops %s', html => {
    expect(safe(html)).toBe('');
  });

  it('keeps the text of a tag that it does not know', () => {
    expect(safe('<blink>a <b>b</b></blink>')).toBe('a <b>b</b>');
  });

  it('drops attributes that act or dress up', () => {
    expect(
      safe(
        '<b onclick="x" style="position:fixed" id="main" class="jp-Dialog" data-commandlinker-command="x">a</b>'
      )
    ).toBe('<b>a</b>');
  });

  it('keeps the classes of highlighting', () => {
    expect(safe('<code class="language-python cm-x evil">a</code>')).toBe(
      '<code class="language-python cm-x">a</code>'
    );
  });

  it.each(['javascript:alert(1)', 'data:text/html,x', '/api', 'a.csv', '#x'])(
    'makes no link of %s',
    address => {
      expect(safe(`<a href="${address}">a</a>`)).toBe('a');
    }
  );

  it('opens links in a new tab that learns nothing', () => {
    const link = safe('<a href="https://a.example/" target="_top">a</a>');
    expect(link).toContain('target="_blank"');
    expect(link).toContain('rel="noopener"');
    expect(link).toContain('referrerpolicy="no-referrer"');
  });

  it('says where a link leads, whatever the model says of it', () => {
    const link = safe(
      '<a href="https://a.example/" title="https://b.example/">a</a>'
    );
    expect(link).toContain('title="https://a.example/"');
    expect(link).not.toContain('b.example');
  });

  it.each(['http://a.example/x.png', '//a.example/x.png', 'x.png', ''])(
    'loads no picture from "%s"',
    address => {
      const html = safe(`<img src="${address}" srcset="y.png" alt="chart">`);
      expect(html).not.toContain('<img');
      expect(html).not.toContain('srcset');
      expect(html).toContain('chart');
    }
  );

  it('shows a picture that is in the text itself', () => {
    const html = '<img src="data:image/png;base64,AA==" alt="x">';
    expect(safe(html)).toBe(html);
  });

  it('keeps task lists, switched off', () => {
    expect(safe('<input type="checkbox" checked="">')).toBe(
      '<input type="checkbox" checked="" disabled="">'
    );
  });
});

describe('visible', () => {
  it('leaves ordinary text alone', () => {
    const text = 'a\tb\nc 한국어 😀 \u200d';
    expect(visible(text)).toBe(text);
  });

  it('shows escape sequences and directions', () => {
    expect(visible('\u001b[31mred\u0007')).toBe('␛[31mred␇');
    expect(visible('a\u202eb\u2069')).toBe('a⟦U+202E⟧b⟦U+2069⟧');
    expect(visible('a\u009bb')).toBe('a⟦U+009B⟧b');
  });
});
