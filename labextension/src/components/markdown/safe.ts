/**
 * What a model writes is not trusted: Lab's sanitizer first, then this allow-list
 * in an inert document (nothing loads, nothing runs). No remote pictures, no
 * media, no forms, no classes of the application, no command attributes; links
 * are http, https or mailto and open in a new tab without a way back.
 */
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

export interface ISafeWords {
  /** "Picture not loaded: %1" */
  picture(address: string): string;
}

const TAGS = new Set(
  `a abbr b blockquote br caption code col colgroup dd del details dfn div dl dt
  em figcaption figure h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre
  q s samp small span strong sub summary sup table tbody td tfoot th thead tr
  tt u ul var`.split(/\s+/)
);

/** Dropped with everything in them; other unknown tags keep their content. */
const DROPPED =
  'script,style,template,iframe,object,embed,video,audio,source,track,picture,svg,math,form,button,select,textarea,link,meta,base,map,area,canvas,dialog';

const ATTRIBUTES: Record<string, readonly string[]> = {
  a: ['href'],
  img: ['src', 'alt', 'title', 'width', 'height'],
  input: ['type', 'checked', 'disabled'],
  ol: ['start', 'type', 'reversed'],
  li: ['value'],
  td: ['align', 'colspan', 'rowspan'],
  th: ['align', 'colspan', 'rowspan', 'scope'],
  col: ['span'],
  colgroup: ['span'],
  details: ['open'],
  abbr: ['title']
};

/** Classes that highlighting makes; nothing else may dress up as the application. */
const CLASS =
  /^(?:language-[\w+#.-]+|cm-[\w-]+|tok-[\w-]+|ͼ\w+|jp-RenderedMermaid)$/u;
const DATA_IMAGE = /^data:image\/(?:png|jpeg|gif|webp|svg\+xml)[;,]/i;
const LINK = /^(?:https?:\/\/|mailto:)/i;

export function safeHTML(html: string, words: ISafeWords): string {
  const page = new DOMParser().parseFromString(html, 'text/html');
  page.body.querySelectorAll(DROPPED).forEach(node => node.remove());
  for (const node of Array.from(page.body.querySelectorAll('*'))) {
    if (!TAGS.has(node.localName)) {
      node.replaceWith(...Array.from(node.childNodes));
    } else if (!cleaned(node, words)) {
      node.remove();
    }
  }
  return page.body.innerHTML;
}

function cleaned(node: Element, words: ISafeWords): boolean {
  const allowed = ATTRIBUTES[node.localName] ?? [];
  for (const { name, value } of Array.from(node.attributes)) {
    if (name === 'class') {
      keepClasses(node, value);
    } else if (!allowed.includes(name)) {
      node.removeAttribute(name);
    }
  }
  if (node.localName === 'a') {
    safeLink(node);
  } else if (node.localName === 'img') {
    safePicture(node, words);
  } else if (node.localName === 'input') {
    // GFM's task lists; anything else would be a form.
    node.setAttribute('disabled', '');
    return node.getAttribute('type') === 'checkbox';
  }
  return true;
}

function keepClasses(node: Element, value: string): void {
  const classes = value.split(/\s+/).filter(name => CLASS.test(name));
  if (classes.length) {
    node.setAttribute('class', classes.join(' '));
  } else {
    node.removeAttribute('class');
  }
}

function safeLink(node: Element): void {
  const address = (node.getAttribute('href') ?? '').trim();
  if (!LINK.test(address)) {
    // A relative address would lead into the server, another scheme nowhere good.
    node.replaceWith(...Array.from(node.childNodes));
    return;
  }
  leaving(node);
  // Where it leads, not what the model says of it.
  node.setAttribute('title', address);
}

/** A new tab that learns nothing of this one (Lab itself sets `rel` anew). */
function leaving(link: Element): void {
  link.setAttribute('target', '_blank');
  link.setAttribute('rel', 'noopener');
  link.setAttribute('referrerpolicy', 'no-referrer');
}

function safePicture(node: Element, words: ISafeWords): void {
  const address = (node.getAttribute('src') ?? '').trim();
  if (DATA_IMAGE.test(address)) {
    return;
  }
  const page = node.ownerDocument;
  const alt = node.getAttribute('alt') || address;
  const inLink = node.closest('a') !== null;
  const stand = page.createElement(
    LINK.test(address) && !inLink ? 'a' : 'span'
  );
  stand.className = 'jp-Cellar-noPicture';
  stand.textContent = alt;
  stand.setAttribute('title', words.picture(address));
  if (stand.localName === 'a') {
    stand.setAttribute('href', address);
    leaving(stand);
  }
  node.replaceWith(stand);
}

export interface ISafeSanitizer extends IRenderMime.ISanitizer {
  /**
   * For text that is drawn again and again while it is written: our allow-list
   * alone, which is the stricter of the two and takes a third of the time.
   */
  draft: IRenderMime.ISanitizer;
}

/** Lab's sanitizer, then ours. */
export function safeSanitizer(
  sanitizer: IRenderMime.ISanitizer,
  words: ISafeWords
): ISafeSanitizer {
  return {
    sanitize: (dirty, options) =>
      safeHTML(sanitizer.sanitize(dirty, options), words),
    draft: { sanitize: dirty => safeHTML(dirty, words) }
  };
}

// Embeddings, overrides and isolates reorder what is read ("Trojan source").
const BIDI = /[\u202A-\u202E\u2066-\u2069]/g;
// C0 without tab and line ends, DEL, C1: escape sequences among them.
const CONTROL = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]/g;
const SUSPECT =
  /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/;

/** Characters that nobody can see become ones that everybody can. */
export function visible(text: string): string {
  if (!SUSPECT.test(text)) {
    return text;
  }
  return text
    .replace(
      BIDI,
      char => `⟦U+${char.charCodeAt(0).toString(16).toUpperCase()}⟧`
    )
    .replace(CONTROL, char => {
      const code = char.charCodeAt(0);
      return code < 0x20
        ? String.fromCharCode(0x2400 + code)
        : code === 0x7f
          ? '␡'
          : `⟦U+${code.toString(16).toUpperCase().padStart(4, '0')}⟧`;
    });
}
