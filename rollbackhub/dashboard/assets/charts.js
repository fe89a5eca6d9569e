// Draws the figures that the server built: JSON in, SVG out. The look comes from the template of the present theme.
(function () {
  "use strict";
  var CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };

  function json(id) { return JSON.parse(document.getElementById(id).textContent); }

  function draw(holder, templates) {
    var theme = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "dark" : "light";
    var figure = json(holder.dataset.figure);
    figure.layout.template = templates[theme];
    if (holder.clientWidth < 480) {
      figure.layout.font = Object.assign({ size: 11 }, figure.layout.font);
      figure.layout.xaxis = Object.assign({ nticks: 4 }, figure.layout.xaxis);
      figure.layout.dragmode = false;
    }
    return Plotly.react(holder, figure.data, figure.layout, CONFIG).then(function () {
      holder.dataset.drawn = theme;
      if (holder.dataset.linked !== undefined && !holder.dataset.bound) {
        holder.dataset.bound = "1";
        holder.on("plotly_click", function (event) {
          var url = event.points[0].customdata && event.points[0].customdata[0];
          if (typeof url === "string" && url.charAt(0) === "/") window.location.assign(url);
        });
      }
    });
  }

  function drawAll() {
    if (!document.getElementById("chart-templates")) return;
    var templates = json("chart-templates");
    document.querySelectorAll("[data-figure]").forEach(function (holder) { draw(holder, templates); });
  }

  document.addEventListener("hub:theme", drawAll);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
  else drawAll();
})();
