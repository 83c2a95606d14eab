"""What scales the pods: the autoscaler, and how its figure gets there from Prometheus."""

import shutil
import subprocess
from pathlib import Path

import yaml
from deploy_files import KUBERNETES, Manifests, lacks
from prometheus_client import generate_latest

from phonebot.web.metrics import Metrics


def test_the_autoscaler_goes_by_a_figure_that_there_is_and_the_adapter_passes_on(manifests: Manifests) -> None:
    (metric,) = manifests.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"\n{name} 0.0\n" in generate_latest(Metrics([]).registry).decode()
    (rule,) = yaml.safe_load((KUBERNETES / "monitoring/adapter.yaml").read_text("utf-8"))["rules"]["custom"]
    assert rule["seriesQuery"].partition("{")[0] == name
    assert rule["name"]["as"] == name
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    wanted = float(metric["pods"]["target"]["averageValue"])
    assert wanted * 2 <= float(manifests.settings["PHONEBOT_MAX_CALLS"]), (
        "what comes while further pods start has a place"
    )


def test_prometheus_finds_the_pods_and_labels_them_as_the_adapter_asks(production: Manifests) -> None:
    (job,) = yaml.safe_load((KUBERNETES / "monitoring/scrape.yaml").read_text("utf-8"))["scrape_configs"]
    (discovered,) = job["kubernetes_sd_configs"]
    labels = production.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert discovered["namespaces"]["names"] == [production.one("Deployment")["metadata"]["namespace"]]
    kept = job["relabel_configs"][0]
    (port,) = production.pod["containers"][0]["ports"]
    assert kept["regex"] == f"{labels['app.kubernetes.io/name']};{port['name']}"
    set_here = {each["target_label"] for each in job["relabel_configs"] if "target_label" in each}
    assert set_here == {"namespace", "pod"}
    assert job["authorization"]["credentials_file"], "figures are for who has a token"


def test_prometheus_takes_the_job(tmp_path: Path) -> None:
    """Debian's is built without Kubernetes: so all but how the pods are found."""
    program = shutil.which("promtool")
    if program is None:
        lacks("promtool is not installed: apt-get install prometheus")
    text = (KUBERNETES / "monitoring/scrape.yaml").read_text("utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    del job["kubernetes_sd_configs"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    command = [program, "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
