(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    const style = getComputedStyle(document.documentElement);
    const named = name => style.getPropertyValue("--" + name).trim();
    for (const source of document.querySelectorAll("script[data-plot]")) {
      const text = source.textContent.replace(/"var\(--([a-z]+)\)"/g, (_, name) => JSON.stringify(named(name)));
      const figure = JSON.parse(text);
      Plotly.react(source.dataset.plot, figure.data, figure.layout, {responsive: true, displayModeBar: false});
    }
  }
  paint();
  dark.addEventListener("change", paint);
})();
