// OpenVINO's start without Python, for `cargo xtask bench`: start MODEL.xml THREADS
//
// Loads the network in f32 (dynamic sizes become 1), infers once on zeros and prints the line of JSON that benches/src/bin/turns.rs prints; at the
// end of the input, the peak of memory.

#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <openvino/openvino.hpp>
#include <string>

static double megabytes(const std::string& field) {
    std::ifstream status("/proc/self/status");
    for (std::string name; status >> name;) {
        double kilobytes = 0;
        if (name == field && status >> kilobytes) return kilobytes / 1024;
    }
    return 0;
}

int main(int count, char** arguments) {
    if (count != 3) {
        std::cerr << "start MODEL.xml THREADS\n";
        return 2;
    }
    using Clock = std::chrono::steady_clock;
    auto ms = [last = Clock::now()]() mutable {
        auto now = Clock::now();
        double passed = std::chrono::duration<double, std::milli>(now - last).count();
        last = now;
        return passed;
    };
    double before = megabytes("VmRSS:");
    ms();
    ov::Core core;
    auto model = core.read_model(arguments[1]);
    std::map<ov::Output<ov::Node>, ov::PartialShape> shapes;
    for (const auto& input : model->inputs()) {
        ov::PartialShape shape = input.get_partial_shape();
        for (auto& size : shape)
            if (size.is_dynamic()) size = 1;
        shapes[input] = shape;
    }
    model->reshape(shapes);
    double read = ms();
    auto compiled = core.compile_model(model, "CPU",
                                       {ov::hint::inference_precision(ov::element::f32),
                                        ov::inference_num_threads(std::stoi(arguments[2])), ov::num_streams(1),
                                        ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)});
    model.reset();
    double compile = ms();
    auto request = compiled.create_infer_request();
    for (const auto& input : compiled.inputs()) {
        ov::Tensor tensor(input.get_element_type(), input.get_shape());
        std::memset(tensor.data(), 0, tensor.get_byte_size());
        request.set_tensor(input, tensor);
    }
    request.infer();
    double first = ms();
    std::cout << "{\"engine\": \"OpenVINO C++\", \"read_ms\": " << read << ", \"compile_ms\": " << compile
              << ", \"first_ms\": " << first << ", \"before_mb\": " << before << "}" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
    }
    std::cout << "{\"peak_mb\": " << megabytes("VmHWM:") << "}" << std::endl;
}
