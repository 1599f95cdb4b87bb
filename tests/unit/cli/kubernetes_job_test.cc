#include "cli/kubernetes_job.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/paths.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

JobSpec Good() {
  JobSpec spec;
  spec.name = "one";
  spec.image = "registry/inference-checkpoint:v1";
  spec.args = {"convert", "/models/a", "/out"};
  spec.folders = {{"source-1", "/models/a", false}, {"destination", "/out", true}};
  spec.budget_bytes = 512 * kMiB;
  spec.threads = 4;
  spec.version = "1.2.3";
  return spec;
}

Json Pod(const JobSpec& spec) { return MakeJob(spec)["spec"]["template"]["spec"]; }
Json Container(const JobSpec& spec) { return Pod(spec)["containers"][0]; }

TEST(MakeJob, AsksForTheBudgetAndWhatTheProgramItselfTakes) {
  const Json resources = Container(Good())["resources"];
  EXPECT_EQ(resources["requests"]["memory"], "576Mi");
  EXPECT_EQ(resources["limits"]["memory"], "576Mi");
  EXPECT_EQ(resources["requests"]["cpu"], "4");
  EXPECT_EQ(resources["requests"]["ephemeral-storage"], "1Gi");
  EXPECT_FALSE(resources["limits"].contains("cpu"));  // a quota would stop lanes in mid-work
}

TEST(MakeJob, RoundsTheMemoryUp) {
  JobSpec spec = Good();
  spec.budget_bytes = 512 * kMiB + 1;
  EXPECT_EQ(Container(spec)["resources"]["limits"]["memory"], "577Mi");
}

TEST(MakeJob, EndsAtOnceWhereARetryCannotHelp) {
  const Json job = MakeJob(Good());
  const Json& rules = job["spec"]["podFailurePolicy"]["rules"];
  EXPECT_EQ(rules[0]["action"], "FailJob");
  EXPECT_EQ(rules[0]["onExitCodes"]["values"], Json({64, 65, 66, 70, 73, 77, 78}));
  EXPECT_EQ(rules[0]["onExitCodes"]["containerName"],
            job["spec"]["template"]["spec"]["containers"][0]["name"]);
  EXPECT_EQ(rules[1]["action"], "Ignore");
  EXPECT_EQ(rules[1]["onPodConditions"][0]["type"], "DisruptionTarget");
  EXPECT_EQ(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
  EXPECT_FALSE(job["spec"].contains("ttlSecondsAfterFinished"));  // it would take the log away
}

TEST(MakeJob, GivesEachShardAnIndexAndTriesOfItsOwn) {
  EXPECT_EQ(MakeJob(Good())["spec"]["backoffLimit"], 3);
  EXPECT_FALSE(MakeJob(Good())["spec"].contains("completionMode"));
  JobSpec spec = Good();
  spec.shards = JobShards{40, 8};
  const Json body = MakeJob(spec)["spec"];
  EXPECT_EQ(body["completionMode"], "Indexed");
  EXPECT_EQ(body["completions"], 40);
  EXPECT_EQ(body["parallelism"], 8);
  EXPECT_EQ(body["backoffLimitPerIndex"], 6);
  EXPECT_EQ(body["maxFailedIndexes"], 4);
  EXPECT_FALSE(body.contains("backoffLimit")) << "one bad index would use up the tries of all";
  EXPECT_EQ(body["podFailurePolicy"], MakeJob(Good())["spec"]["podFailurePolicy"]);
  spec.shards = JobShards{4, 2};
  EXPECT_EQ(MakeJob(spec)["spec"]["maxFailedIndexes"], 1);
}

TEST(MakeJob, MountsFoldersUnderTheirOwnPaths) {
  const Json pod = Pod(Good());
  const Json mounts = {{{"name", "source-1"}, {"mountPath", "/models/a"}, {"readOnly", true}},
                       {{"name", "destination"}, {"mountPath", "/out"}}};
  EXPECT_EQ(pod["containers"][0]["volumeMounts"], mounts);
  const Json source = {{"path", "/models/a"}, {"type", "Directory"}};
  EXPECT_EQ(pod["volumes"][0]["hostPath"], source);
  EXPECT_EQ(pod["volumes"][1]["hostPath"]["type"], "DirectoryOrCreate");
}

TEST(MakeJob, MountsPartsOfAClaimWhereOneIsNamed) {
  JobSpec spec = Good();
  spec.folders = {{"source-1", "/data", false}, {"destination", "/data/out/x", true}};
  spec.claim = JobClaim{"models", "/data"};
  const Json pod = Pod(spec);
  const Json mounts = {{{"name", "claim"}, {"mountPath", "/data"}, {"readOnly", true}},
                       {{"name", "claim"}, {"mountPath", "/data/out/x"}, {"subPath", "out/x"}}};
  EXPECT_EQ(pod["containers"][0]["volumeMounts"], mounts);
  EXPECT_EQ(pod["volumes"].size(), 1U);
  EXPECT_EQ(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "models");
}

TEST(MakeJob, EscapesWhatKubernetesWouldExpand) {
  JobSpec spec = Good();
  spec.args = {"convert", "/m/$(HOME)", "/m/$$x$"};
  EXPECT_EQ(Container(spec)["args"], Json({"convert", "/m/$$(HOME)", "/m/$$$$x$$"}));
}

TEST(MakeJob, RefusesRootOnlyWhereAUserIsNamed) {
  EXPECT_FALSE(Pod(Good())["securityContext"].contains("runAsNonRoot"));
  JobSpec spec = Good();
  spec.user = JobUser{1000, 2000};
  const Json security = Pod(spec)["securityContext"];
  EXPECT_EQ(security["runAsNonRoot"], true);
  EXPECT_EQ(security["runAsUser"], 1000);
  EXPECT_EQ(security["fsGroup"], 2000);
}

TEST(MakeJob, RunsWithoutPrivileges) {
  const Json pod = Pod(Good());
  const Json& security = pod["containers"][0]["securityContext"];
  EXPECT_EQ(security["readOnlyRootFilesystem"], true);
  EXPECT_EQ(security["allowPrivilegeEscalation"], false);
  EXPECT_EQ(security["capabilities"]["drop"], Json::array({"ALL"}));
  EXPECT_EQ(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
}

TEST(PathBelow, TellsFoldersFromNamesThatOnlyBeginAlike) {
  EXPECT_EQ(PathBelow("/a/b", "/a"), "b");
  EXPECT_EQ(PathBelow("/a", "/a"), "");
  EXPECT_EQ(PathBelow("/a", "/"), "a");
  EXPECT_EQ(PathBelow("/ab", "/a"), std::nullopt);
  EXPECT_EQ(PathBelow("/a", "/a/b"), std::nullopt);
}

TEST(MemoryWord, IsExact) {
  EXPECT_EQ(MemoryWord(512 * kMiB), "512MiB");
  EXPECT_EQ(MemoryWord(512 * kMiB + 1), "536870913");
  EXPECT_EQ(*ParseBytes(MemoryWord(512 * kMiB + 1)), 512 * kMiB + 1);
}

TEST(CheckJobName, TakesOnlyLabelsOfTheDomainNameSystem) {
  for (const char* name : {"a", "llama-3", "0", "a--b"})
    EXPECT_TRUE(CheckJobName("--name", name)) << name;
  for (const std::string& name : {std::string(), std::string("A"), std::string("-a"),
                                  std::string("a-"), std::string("a.b"), std::string(64, 'a')})
    EXPECT_FALSE(CheckJobName("--name", name)) << name;
  EXPECT_TRUE(CheckJobName("--name", std::string(63, 'a')));
}

TEST(DefaultJobName, IsAlwaysANameAndDiffersWithTheArguments) {
  for (const char* source :
       {"/models/Meta-Llama_3.1 8B", "/", "/---", "/模型",
        "/x/aaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}) {
    const std::string name = DefaultJobName(source, "jetstream-pytorch", {"a"});
    EXPECT_TRUE(CheckJobName("--name", name)) << name;
  }
  const std::string name = DefaultJobName("/m/Llama-3.1", "maxtext", {"a", "b"});
  EXPECT_TRUE(name.starts_with("ckpt-llama-3-1-maxtext-")) << name;
  EXPECT_NE(name, DefaultJobName("/m/Llama-3.1", "maxtext", {"a b"}));
}

}  // namespace
}  // namespace ckpt
